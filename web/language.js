// What locales/ holds in the page's language; nothing in English, which is in the schemas and templates themselves.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

let reading;

export function translations() {
  reading ??= api
    .fetchApi("/i18n")
    .then((answer) => answer.json())
    .then((all) => all[app.ui.settings.getSettingValue("Comfy.Locale")] ?? {});
  return reading;
}
