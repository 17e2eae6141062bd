/** Entry point: opens the page. */

import { Page } from "./view/page.js";
import { restoreFragment } from "./view/sign_in_redirect.js";

restoreFragment();
new Page().show({ isFirst: true });
