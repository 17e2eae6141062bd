/** Facts about one sheet for its panel, from `GET /api/jobs/{job_id}/sheets/{number}`. */

import { formatCost, formatTokens } from "./job_facts.js";
import { isActive } from "./gantt.js";

/**
 * @typedef {import("./job.js").Sheet & {
 *   max_retries?: number, exit_code?: number, exit_signal?: number | string, exit_reason?: string,
 *   instrument_model?: string, model?: string, validation_passed?: boolean,
 *   validation_details?: unknown, passed_validations?: unknown, failed_validations?: unknown,
 *   estimated_cost?: number, input_tokens?: number, output_tokens?: number,
 *   stdout_tail?: string, stderr_tail?: string, output_truncated?: boolean, omitted?: string[],
 * }} SheetDetail
 */

/** @typedef {{label: string, passed: boolean | null}} Validation `passed` is null if unknown. */

/**
 * Format the number of an attempt: `attempt 2 of 3`; "" before the first.
 *
 * @param {SheetDetail} sheet
 */
export function formatAttempt({ attempt, max_retries: max }) {
  if (!attempt) return "";
  return max && max >= attempt ? `attempt ${attempt} of ${max}` : `attempt ${attempt}`;
}

/** @typedef {{label: string, value: string, title?: string}} SheetFact */

/**
 * Return labels and values of a sheet; without those that are unknown.
 *
 * @param {SheetDetail} sheet
 * @param {import("./time_format.js").TimeFormat} times
 * @returns {SheetFact[]}
 */
export function sheetFacts(sheet, times) {
  const time = (/** @type {string | null | undefined} */ iso) => {
    const at = Date.parse(iso ?? "");
    return { value: times.dateTime(at), title: times.fullDateTime(at) };
  };
  const exit = [
    sheet.exit_code,
    sheet.exit_signal && `signal ${sheet.exit_signal}`,
    sheet.exit_reason,
  ];
  const text = (/** @type {unknown} */ value) => ({ value: String(value ?? "") });
  return [
    { label: "Movement", ...text(sheet.movement) },
    { label: "Instrument", ...text(sheet.instrument_name) },
    { label: "Model", ...text(sheet.model ?? sheet.instrument_model) },
    { label: "Started", ...time(sheet.started_at) },
    { label: "Ended", ...time(sheet.completed_at) },
    { label: "Waits until", ...time(sheet.waiting_until) },
    { label: "Exit code", ...text(exit.filter((part) => part || part === 0).join(", ")) },
    { label: "Error code", ...text(sheet.error_code) },
    { label: "Estimated cost", ...text(formatCost(sheet.estimated_cost)) },
    { label: "Tokens", ...text(formatTokens(sheet)) },
  ].filter(({ value }) => value !== "");
}

/**
 * Return true if a sheet's error says all that an error of its job says. An error of a sheet in the
 * list of sheets may be cut off.
 *
 * @param {import("./job.js").Sheet | undefined} sheet
 * @param {string} error of the job.
 */
export function hasError(sheet, error) {
  const own = sheet?.error_message;
  if (!own || !error) return false;
  return own.startsWith(error) || Boolean(sheet.error_truncated && error.startsWith(own));
}

/**
 * Return the validations of a sheet. The conductor writes them as objects or as texts.
 *
 * @param {SheetDetail} sheet
 * @returns {Validation[]}
 */
export function listValidations(sheet) {
  const details = toList(sheet.validation_details).map((value) => toValidation(value, null));
  if (details.length) return details;
  return [
    ...toList(sheet.failed_validations).map((value) => toValidation(value, false)),
    ...toList(sheet.passed_validations).map((value) => toValidation(value, true)),
  ];
}

/**
 * Return the ends of a sheet's output, and a sentence if none is known.
 *
 * @param {SheetDetail} sheet
 * @param {{isPast?: boolean}} [options] the job was deleted while the sheet was active.
 */
export function sheetOutputs(sheet, { isPast = false } = {}) {
  const outputs = [
    { label: "Output", text: sheet.stdout_tail ?? "" },
    { label: "Error output", text: sheet.stderr_tail ?? "" },
  ].filter(({ text }) => text);
  const isLeftOut = ["stdout_tail", "stderr_tail"].some((name) => sheet.omitted?.includes(name));
  if (outputs.length) return { outputs, sentence: "" };
  const isOpen = isActive(sheet.status) && !isPast;
  if (!sheet.started_at && !sheet.attempt) {
    return {
      outputs,
      sentence: isOpen ? "It has not started yet." : "It did not run.",
    };
  }
  if (isLeftOut) return { outputs, sentence: "The output is too long to be shown here." };
  const sentence = isOpen
    ? "The conductor tells the output once the sheet has ended."
    : "This conductor keeps no output of this sheet.";
  return { outputs, sentence };
}

/**
 * @param {unknown} value
 * @returns {unknown[]}
 */
function toList(value) {
  return Array.isArray(value) ? value : [];
}

/**
 * @param {unknown} value
 * @param {boolean | null} passed for a value that does not tell.
 * @returns {Validation}
 */
function toValidation(value, passed) {
  if (value === null || typeof value !== "object") return { label: String(value), passed };
  const fields = /** @type {Record<string, unknown>} */ (value);
  const names = ["description", "name", "rule_type", "type"];
  const label = names.map((name) => fields[name]).find((text) => typeof text === "string" && text);
  const reason = ["failure_reason", "error_message", "message"]
    .map((name) => fields[name])
    .find((text) => typeof text === "string" && text);
  const own = typeof fields.passed === "boolean" ? fields.passed : passed;
  const text = typeof label === "string" ? label : JSON.stringify(value);
  return { label: reason && own === false ? `${text}: ${reason}` : text, passed: own };
}
