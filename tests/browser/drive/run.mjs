// node run.mjs SCENARIO JSON: drives one scenario in Chromium. What the page itself says about faults is printed.
import { chromium } from "playwright-core";
import { Reader } from "./reader.mjs";

const [name, given] = process.argv.slice(2);
const asked = JSON.parse(given);
const scenario = await import(`./${name}.mjs`);
const browser = await chromium.launch({
  executablePath: asked.chromium,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(15_000);
  const said = [];
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`thrown: ${error.stack}`));
  page.on("response", (answer) => answer.status() >= 400 && said.push(`${answer.status()} ${answer.url()}`));
  const reader = new Reader(page, asked);
  try {
    await reader.open();
    await scenario.default(reader);
  } catch (error) {
    console.error(error.stack ?? error);
    console.error(`the page shows:\n${await page.locator("body").innerText()}`);
    console.error(`the page says:\n${said.join("\n")}`);
    process.exitCode = 1;
  }
} finally {
  await browser.close();
}
