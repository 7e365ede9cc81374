/**
 * A listener as a process of its own, to be killed: appends one batch after the other and prints the last sequence of each. Or one
 * that does a bit of everything, closes what it opened, and ends when nothing is left to wait for.
 */
import { setTimeout } from 'node:timers/promises';
import { KafkaLog } from '../../src/changelog/kafka/kafka-log.ts';
import { SqliteLog } from '../../src/changelog/sqlite/sqlite-log.ts';
import type { ChangeLog } from '../../streams/change-log.ts';
import { guid, Model } from './model.ts';
import { Pages } from './pages.ts';
import type { Program } from './program.ts';

const program = JSON.parse(process.argv[2] ?? '{}') as Program;
const log: ChangeLog =
  program.engine === 'sqlite'
    ? new SqliteLog(program.file)
    : new KafkaLog(program.settings, { cacheFile: program.cacheFile, onSetAside: () => {}, onRebuild: () => {} });
const listener = await log.openListener(new AbortController().signal);
process.stdout.write('listening\n');
const model = new Model();
for (let number = 1; number <= program.accounts; number++) {
  const known = listener.identity(guid(number));
  if (known !== undefined) model.identities.set(guid(number), known);
}
for (let round = 1; round <= program.batches; round++) {
  const deeds = Array.from({ length: program.accounts }, (_, index) => {
    const account = index + 1;
    return model.identities.has(guid(account)) ? ({ do: 'toggle', account } as const) : ({ do: 'create', account } as const);
  });
  const events = await listener.append(model.batch(deeds, `${process.pid}-${round}`));
  process.stdout.write(`${events.at(-1)?.sequence}\n`);
  // What else there is to do gets its turn, as in a listener that reads from a socket.
  await setTimeout(program.pause ?? 0);
}
if (program.leaves) {
  const repairer = await log.openRepairer('contoso', new AbortController().signal);
  const pages = new Pages(repairer);
  await pages.take(1);
  await log.status();
  await log.replay(() => {});
  pages[Symbol.dispose]();
  await Promise.all([listener[Symbol.asyncDispose](), repairer[Symbol.asyncDispose]()]);
  await log[Symbol.asyncDispose]();
  process.stdout.write('closed\n');
} else {
  // Stays, as a listener would when nothing happens.
  setInterval(() => {}, 60_000);
}
