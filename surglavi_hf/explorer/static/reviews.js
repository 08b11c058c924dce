// What was reviewed, newest first.
import { html } from "./vendor/htm-preact.js";
import { Failure, count, useAnswer } from "./common.js";
import { said } from "./review.js";

export function Reviews({ about }) {
  const [found, error] = useAnswer("/api/reviews");
  return html`
    <h1>Reviews ${found && html`<span class="total">${count(found.total)}</span>`}</h1>
    <${Failure} error=${error} />
    <p class="hint">Lines of reviews.jsonl beside the corpus, the newest ${found && found.reviews.length < found.total ? `${found.reviews.length} ` : ""}first.
      ${about.can_review ? "" : " Start with --review to add some."} <code>surglavi review apply</code> makes a new database of them.</p>
    ${found && !found.reviews.length && html`<p class="empty">Nothing is reviewed yet.</p>`}
    ${found && found.reviews.length > 0 && html`<div class="wide"><table class="figures">
      <thead><tr><th scope="col">when</th><th scope="col">who</th><th scope="col">what</th><th scope="col">caption</th><th scope="col">change, remark</th></tr></thead>
      <tbody>${found.reviews.map((one) => html`<tr>
        <td><time datetime=${one.time}>${one.time.slice(0, 16).replace("T", " ")}</time></td><td>${one.reviewer}</td><td>${one.action}</td>
        <td><a href=${`/video/${one.video_id}?caption=${one.caption_id}`}>${one.text || one.caption_id}</a></td><td>${said(one)}</td>
      </tr>`)}</tbody>
    </table></div>`}
  `;
}
