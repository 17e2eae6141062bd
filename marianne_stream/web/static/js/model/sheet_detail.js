/** Facts about one sheet for its panel, from `GET /api/jobs/{job_id}/sheets/{number}`. */

import { formatCost, formatTokens } from "./job_facts.js";

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

/**
 * Return labels and values of a sheet; without those that are unknown.
 *
 * @param {SheetDetail} sheet
 * @param {import("./time_format.js").TimeFormat} times
 * @returns {[string, string][]}
 */
export function sheetFacts(sheet, times) {
  const time = (/** @type {string | null | undefined} */ iso) =>
    times.fullDateTime(Date.parse(iso ?? ""));
  const exit = [
    sheet.exit_code,
    sheet.exit_signal && `signal ${sheet.exit_signal}`,
    sheet.exit_reason,
  ];
  /** @type {[string, unknown][]} */
  const facts = [
    ["Movement", sheet.movement],
    ["Instrument", sheet.instrument_name],
    ["Model", sheet.model ?? sheet.instrument_model],
    ["Started", time(sheet.started_at)],
    ["Ended", time(sheet.completed_at)],
    ["Waits until", time(sheet.waiting_until)],
    ["Exit code", exit.filter((part) => part || part === 0).join(", ")],
    ["Error code", sheet.error_code],
    ["Cost", formatCost(sheet.estimated_cost) && `${formatCost(sheet.estimated_cost)} (estimated)`],
    ["Tokens", formatTokens(sheet)],
  ];
  return facts
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([label, value]) => [label, String(value)]);
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
 */
export function sheetOutputs(sheet) {
  const outputs = [
    { label: "Output", text: sheet.stdout_tail ?? "" },
    { label: "Error output", text: sheet.stderr_tail ?? "" },
  ].filter(({ text }) => text);
  const isLeftOut = ["stdout_tail", "stderr_tail"].some((name) => sheet.omitted?.includes(name));
  if (outputs.length) return { outputs, sentence: "" };
  if (!sheet.started_at && !sheet.attempt) return { outputs, sentence: "It has not started yet." };
  const sentence = isLeftOut
    ? "The output is too long to be shown here."
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
