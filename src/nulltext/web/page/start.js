// The first screen: samples, and what to do for a photograph of one's own.

import { open, openSample } from "./actions.js";
import { address } from "./api.js";
import { Icon } from "./icons.js";
import { t } from "./lang.js";
import { state } from "./store.js";
import { html, useRef } from "./vendor/htm-preact.js";

export function Start() {
  const { limits } = state, file = useRef(), toy = state.models.every((one) => one.embedded);
  const chosen = (event) => event.target.files[0] && open(event.target.files[0]);
  return html`
    <div class="start">
      <h2>${t("slogan")}</h2>
      <p class="lead">${t("lead")}</p>
      ${state.error && html`<p role="alert" class="alert" id="error">${state.error}</p>`}
      ${state.notice && html`<p role="status" class="notice">${state.notice}</p>`}
      <div class="doors">
        <button type="button" class="drop" onClick=${() => file.current.click()}>
          <${Icon} name="open" /><b>${t("ownPhotograph")}</b><span>${t("dropIt")}</span>${limits && html`<span>${t("atMost", { megabytes: Math.round(limits.upload_bytes / 2 ** 20), megapixels: Math.round(limits.pixels / 1e6) })}</span>`}</button>
        <input ref=${file} class="hidden" type="file" tabindex="-1" aria-label=${t("ownPhotograph")} accept="image/*,.safetensors,.heic" onChange=${chosen} />
        <section aria-labelledby="samples-title">
          <h3 id="samples-title">${t("takeASample")}</h3>
          <div class="samples">${state.samples.map((sample) => html`
            <button type="button" class="sample" aria-label=${sample.prompt} title=${sample.prompt} onClick=${() => openSample(sample)}>
              <img src=${address(`v1/samples/${sample.name}`)} alt="" width="384" height="384" /></button>`)}
          </div>
        </section>
      </div>
      ${toy && html`<aside class="toy"><${Icon} name="warn" /><div><h3>${t("toyTitle")}</h3><p>${t("toyWhat")}</p>
        <p>${t("toyHow")}</p><pre><code>nulltext web --model scenes --model stable-diffusion-v1-5/stable-diffusion-v1-5</code></pre></div></aside>`}
    </div>
  `;
}
