// What a page has to be for everybody who looks at it: on a telephone, a tablet
// and a desk, in light and dark, with a keyboard alone, read aloud. For the tests
// of pages in Chromium.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const widths = [360, 768, 1280];
const schemes = ['light', 'dark'];

/** Starts the browser in the environment. */
export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });

/** A page that notes what the browser complains about, such as a content
 * security policy that is violated. */
export async function watchedPage(context) {
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    // Chromium writes a line about every page with an error status.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  return { page, complaints };
}

/** The text of the page, with single spaces. */
export async function shows(page, ...texts) {
  const text = (await page.locator('body').innerText()).replace(/\s+/g, ' ');
  for (const wanted of texts) assert.ok(text.includes(wanted), `the page does not show "${wanted}" but: ${text}`);
}

/** Looks at the page in every width and scheme: nothing is cut off or needs
 * sideways scrolling, and axe-core has nothing to say. With a name, each look is
 * kept as a picture in the folder SCREENSHOTS. */
export async function inspect(page, name) {
  const before = page.viewportSize();
  await page.evaluate(axe); // past the page's policy, as a developer's tools
  for (const colorScheme of schemes) {
    await page.emulateMedia({ colorScheme });
    for (const width of widths) {
      await page.setViewportSize({ width, height: 900 });
      const at = `${name} at ${width} px, ${colorScheme}`;
      if (process.env.SCREENSHOTS) {
        await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${at}: ${wide} px too wide`);
      assert.deepEqual(await cutOff(page), [], `${at}: cut off`);
      const { violations } = await page.evaluate(() => window.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      }));
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((n) => n.html + n.failureSummary).join(' | ')}`), [], at);
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(before);
  await keyboardReachesAll(page, name);
}

// Boxes whose text does not fit into them.
const cutOff = (page) => page.$$eval('textarea, button, summary, .mark', (all) => all
  .filter((e) => e.checkVisibility() && (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 || e.matches('textarea') && e.scrollHeight > e.clientHeight + 1))
  .map((e) => e.outerHTML));

/** Tab reaches whatever can be used, in the order in which it is read, and each
 * shows that it has the focus. */
async function keyboardReachesAll(page, name) {
  // Of several to choose from, Tab reaches the one that is chosen; arrows, the others.
  const usable = 'a[href], button, summary, textarea, select, input:not([type=hidden], [type=radio]:not(:checked))';
  const expected = await page.$$eval(usable, (all) => all.filter((e) => e.checkVisibility() && !e.disabled).map((e, i) => (e.dataset.n = String(i))));
  await page.evaluate(() => { document.activeElement?.blur(); getSelection().removeAllRanges(); });
  await page.evaluate(() => { document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex'); });
  const reached = [];
  for (const n of expected) {
    await page.keyboard.press('Tab');
    const [at, outline] = await page.evaluate(() => [document.activeElement.dataset.n, getComputedStyle(document.activeElement).outlineStyle]);
    reached.push(at);
    assert.notEqual(outline, 'none', `${name}: nothing shows that ${n} has the focus`);
  }
  assert.deepEqual(reached, expected, `${name}: what Tab reaches`);
}
