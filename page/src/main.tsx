// Shows the report that is in the document, or else what the observer tells.

import { render } from "preact";
import "../style/page.css";
import { App } from "./app";
import { LiveFeed } from "./live";
import { type Report, SavedFeed } from "./saved";

const report = document.getElementById("report")?.textContent;
const feed = report ? new SavedFeed(JSON.parse(report) as Report) : new LiveFeed();
render(<App feed={feed} />, document.getElementById("page")!);
