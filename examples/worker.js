// A worker that keeps a copy of the rules, in plain JavaScript for Node 20: no package is needed.
//   EVENTSTORE_URL=https://TOKEN@rules.example node examples/worker.js worker.json
// The file has the rules and the cursor after them. A line is printed for each change before the
// cursor is stored, so a worker that is killed in between prints the changes of one page again.
const fs = require("node:fs");

const file = process.argv[2] ?? "worker.json";
const address = new URL(process.env.EVENTSTORE_URL ?? "http://127.0.0.1:8080");
const headers = address.username ? { authorization: `Bearer ${address.username}` } : {};
const base = address.origin + address.pathname.replace(/\/$/, "");
const types = ["RuleDefined", "RuleRemoved", "RuleStateSet", "RuleStateExpired", "RulesHeld", "RulesReleased"].map((type) => ["types", type]);

class Refused extends Error {} // Asking again does not help.
class Reload extends Error {} // Another history, something trimmed or redacted, or rules held or released.

async function ask(path) {
  const answer = await fetch(base + path, { headers, redirect: "error", signal: AbortSignal.timeout(90_000) });
  const said = `${answer.status} ${answer.ok ? "" : await answer.text()}`;
  if ([409, 410].includes(answer.status)) throw new Reload(said);
  if ([400, 401, 403, 404].includes(answer.status)) throw new Refused(said);
  if (!answer.ok) throw new Error(said);
  return { body: await answer.json(), cursor: answer.headers.get("eventstore-cursor") };
}

async function load() { // All rules as they stand, and the cursor to follow them from.
  const { body, cursor } = await ask("/v1/rules");
  console.log(`loaded ${body.rules.length}`);
  return { cursor, held: body.held, rules: new Map(body.rules.map((rule) => [rule.rule_id, { rule, state: rule.state }])) };
}

function apply(rules, held, { type, data, position }) {
  if (type === "RulesHeld" || type === "RulesReleased") throw new Reload(`${position} ${type}`);
  if (held !== null && !type.startsWith("RuleState")) return; // Definitions wait until the rules are released.
  if (data === undefined) throw new Reload(`${position} was redacted`);
  if (type === "RuleRemoved") rules.delete(data.rule_id);
  else rules.set(data.rule_id, { ...rules.get(data.rule_id), ...(type === "RuleDefined" ? { rule: data.rule } : { state: data.state }) });
  console.log(`${position} ${type} ${data.rule_id}`);
}

async function work(state) { // One page: its changes, then the cursor after them.
  const { cursor, held = null, rules } = state ?? (await load());
  const query = new URLSearchParams([["after", cursor], ["wait", "30"], ...types]);
  const { body } = await ask(`/v1/events?${query}`);
  for (const event of body.events) apply(rules, held, event);
  store({ cursor: body.cursor, held, rules: [...rules] });
  return { cursor: body.cursor, held, rules };
}

function store(state) { // Under another name first, so that no kill leaves half a file.
  const descriptor = fs.openSync(`${file}.new`, "w", 0o600);
  fs.writeSync(descriptor, JSON.stringify(state));
  fs.fsyncSync(descriptor);
  fs.closeSync(descriptor);
  fs.renameSync(`${file}.new`, file);
}

async function main() {
  let state;
  if (fs.existsSync(file)) state = JSON.parse(fs.readFileSync(file, "utf8"), (key, value) => (key === "rules" ? new Map(value) : value));
  for (let failures = 0; ; ) {
    try {
      state = await work(state);
      failures = 0;
    } catch (error) {
      if (error instanceof Refused) throw error;
      if (error instanceof Reload) state = undefined;
      else await new Promise((done) => setTimeout(done, Math.random() * Math.min(5_000, 200 * 2 ** failures++)));
    }
  }
}

main().catch((error) => { console.error(`error: ${error.message}`); process.exit(1); });
