// The one button: while something is done it is the progress, with Cancel in the same place.

import { cancel, edit, invert } from "./actions.js";
import { t } from "./lang.js";
import { state } from "./store.js";
import { html } from "./vendor/htm-preact.js";

export const actionOf = () => (state.draft ? edit : invert);

export function Primary() {
  const { job } = state, chosen = state.models.find((one) => one.name === state.inverting.model);
  return html`
    <div class="primary">
      ${state.error && html`<p role="alert" class="alert" id="error">${state.error}</p>`}
      ${!state.error && state.notice && html`<p role="status" class="notice">${state.notice}</p>`}
      ${!job && !state.error && !state.notice && !state.draft && !state.prompt.trim() && html`<p class="notice">${t("describeFirst")}</p>`}
      ${job
        ? html`<${Progress} job=${job} />`
        : html`<button type="button" id="go" class="go" disabled=${!state.draft && (!state.prompt.trim() || !chosen?.here)} onClick=${actionOf()}>
            ${state.draft ? t("editNow") : t("invertNow")} <kbd>Ctrl ↵</kbd></button>`}
    </div>
  `;
}

function Progress({ job }) {
  const { status } = job, share = status.total ? status.step / status.total : null;
  return html`
    <div class="progress" id="progress">
      <div class="bar"><i class=${share === null ? "unknown" : ""} style=${{ width: `${100 * (share ?? 0.3)}%` }}></i>
        <span role="status" aria-live="polite">${said(status)}</span></div>
      <button type="button" id="cancel" class="small" onClick=${cancel}>${t("cancel")}</button>
      <progress class="hidden" max="1" value=${share ?? undefined} aria-label=${t("progress")}></progress>
    </div>
  `;
}

function said(status) {
  if (status.position) return t(status.position === 1 ? "oneBefore" : "manyBefore", { count: status.position });
  if (!status.phase) return t("gettingReady");
  const words = [`${t(`phase-${status.phase}`)} ${status.step}/${status.total}`];
  if (status.loss !== null) words.push(t("loss", { loss: status.loss.toExponential(1) }));
  if (status.seconds_left !== null) words.push(left(status.seconds_left));
  return words.join(" · ");
}

const left = (seconds) => (seconds < 60 ? t("secondsLeft", { seconds: Math.max(1, Math.round(seconds)) }) : t("minutesLeft", { minutes: Math.round(seconds / 60) }));
