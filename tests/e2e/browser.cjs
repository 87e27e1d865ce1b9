// Opens every page of a running Mihari in headless Chromium, on a desk and on a phone, in both languages.
// Usage: node browser.cjs URL SCREENSHOT_FOLDER
const fs = require('node:fs');
const path = require('node:path');
const { chromium } = require('playwright-core');

const [url, folder] = process.argv.slice(2);
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const pages = ['/', '/alerts', '/reports', '/status', '/explore?query=node_load1', '/login'];
const problems = [];

async function visit(browser, language, shape, colorScheme) {
  const context = await browser.newContext({
    viewport: shape.viewport,
    locale: language,
    colorScheme,
    // axe-core is put into the page by this check, which the page's own policy rightly forbids.
    bypassCSP: true,
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => problems.push(`${language} ${page.url()}: script error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`${language} ${page.url()}: console: ${message.text()}`);
  });
  for (const where of pages) {
    const response = await page.goto(url + where, { waitUntil: 'load' });
    if (response.status() !== 200) problems.push(`${where}: status ${response.status()}`);
    const lang = await page.getAttribute('html', 'lang');
    if (!language.startsWith(lang)) problems.push(`${where}: asked for ${language}, got ${lang}`);
    if (where === '/alerts') {
      const reasons = await page.evaluate(() => {
        const all = [...document.querySelectorAll('#deliveries details')];
        all.forEach((one) => { one.open = true; });
        return all.length;
      });
      if (reasons < 2) problems.push(`${where}: says why of ${reasons} alerts, not of 2`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth + 1);
    if (wide) problems.push(`${where}: wider than the ${shape.name}`);
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    for (const violation of found.violations) {
      if (['serious', 'critical'].includes(violation.impact)) {
        const nodes = violation.nodes.slice(0, 2).map((node) => node.html.slice(0, 160)).join(' | ');
        problems.push(`${language} ${colorScheme} ${where}: ${violation.id} (${violation.impact}): ${nodes}`);
      }
    }
    const name = `${where.split('?')[0].replaceAll('/', '') || 'overview'}-${language.slice(0, 2)}-${shape.name}-${colorScheme}.png`;
    await page.screenshot({ path: path.join(folder, name), fullPage: true });
  }
  await context.close();
}

async function chartsMove(browser) {
  const page = await browser.newPage({ locale: 'en-US' });
  await page.goto(url + '/', { waitUntil: 'load' });
  const drawing = () => page.evaluate(() => [...document.querySelectorAll('svg path')].map((p) => p.getAttribute('d')).join());
  const before = await drawing();
  if (before.length < 100) problems.push('the overview has no drawn charts');
  for (let waited = 0; waited < 60; waited += 1) {
    await page.waitForTimeout(1000);
    if ((await drawing()) !== before) return;
  }
  problems.push('the charts of the overview did not move within a minute');
}

async function hoverShowsValues(browser) {
  const page = await browser.newPage({ locale: 'en-US' });
  // Here the page's own policy is in force: what it forbids shows in the console.
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`under the policy: ${message.text()}`);
  });
  await page.goto(url + '/explore?query=node_load1', { waitUntil: 'load' });
  const box = await page.locator('[data-frame]').last().boundingBox();
  await page.mouse.move(box.x + box.width * 0.9, box.y + box.height * 0.4);
  const tip = page.locator('.tip:visible');
  await tip.waitFor({ timeout: 3000 }).catch(() => problems.push('hovering a chart shows no values'));
  if ((await tip.count()) > 0 && !/\d/.test(await tip.last().innerText())) problems.push('the values under the pointer are empty');
}

async function main() {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  const desk = { name: 'desk', viewport: { width: 1280, height: 900 } };
  const phone = { name: 'phone', viewport: { width: 390, height: 844 } };
  await visit(browser, 'ja-JP', desk, 'light');
  await visit(browser, 'en-US', desk, 'dark');
  await visit(browser, 'ja-JP', phone, 'dark');
  await visit(browser, 'en-US', phone, 'light');
  await hoverShowsValues(browser);
  await chartsMove(browser);
  await browser.close();
  console.log(`browser: ${pages.length} pages in 2 languages on 2 screens, ${problems.length} problems`);
  for (const problem of problems) console.log('  ' + problem);
  process.exit(problems.length === 0 ? 0 : 1);
}

main();
