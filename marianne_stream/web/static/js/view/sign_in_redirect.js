/** Redirect to the sign-in form and back. The fragment of the address is kept here: servers do not see it. */

import { ROOT_PATH } from "../root_path.js";
import { serverKey } from "./local_storage.js";

const KEY = serverKey("marianne-stream after sign-in");

/** Go to the sign-in form, which leads back to the current address. */
export function redirectToSignIn() {
  sessionStorage.setItem(KEY, location.hash);
  const next = encodeURIComponent(location.pathname + location.search);
  location.assign(`${ROOT_PATH}/login?next=${next}`);
}

/** Restore the fragment after signing in. */
export function restoreFragment() {
  const fragment = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (fragment && !location.hash) history.replaceState(null, "", fragment);
}
