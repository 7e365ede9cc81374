import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startBed } from '../testbed/bed.ts';
import { Namesake } from '../testbed/namesake.ts';
import { describeBed } from '../testbed/overview.ts';
import { Narration } from './narration.ts';
import { tellStory } from './story.ts';

const USAGE = `usage: npm run demo -- [OPTIONS]

Starts a real domain controller, a real broker and a stand-in of Customer Engagement on this machine, renames a person, and shows
how her user record is repaired. Everything is stopped and removed afterwards.

  --embedded  without a broker: the log is one SQLite file (taken by itself where there is no Java)
  --keep      leave it running afterwards, until Ctrl-C, and print how to look into it and rename somebody by hand
  --help      this text

exit codes: 0 the logon works again, 1 it does not or a part did not start, 2 wrong usage`;

const SHOWN_LINES = 20;

/**
 * Rejects when somebody presses Ctrl-C, so that the parts are stopped and removed on that way out too. The signal comes more
 * than once, from the terminal and from npm: only the first one counts.
 */
function interruption(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => reject(new Error('stopped')));
  return promise;
}

async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      embedded: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const say = new Narration();
  const brokerMissing = process.env.TESTBED_BROKER === 'missing';
  const embedded = values.embedded || brokerMissing;
  say.chapter('The parts come up');
  if (brokerMissing && !values.embedded)
    say.line('There is no Java for the broker here: the log will be an SQLite file instead (as with --embedded).');
  await using bed = await startBed({
    brokers: embedded ? 0 : 1,
    customerEngagement: true,
    progress: (part) => say.line(`${part} answers`),
  });
  await using namesake = await Namesake.prepare({ bed, path: join(bed.path, 'namesake'), engine: embedded ? 'sqlite' : 'kafka' });
  await namesake.start();
  say.line('namesake runs');
  const interrupted = interruption();
  const works = await Promise.race([tellStory(bed, namesake, say), interrupted]).catch(async (error: unknown) => {
    console.error(error instanceof Error ? `\n${error.message}` : error);
    const lines = (await namesake.lines()).slice(-SHOWN_LINES);
    console.error(['the last lines of its log:', ...lines.map(({ time, msg }) => `  ${time} ${msg}`)].join('\n'));
    return false;
  });
  if (values.keep && works) {
    console.log(`\n${describeBed(bed)}\nNamesake          configuration ${namesake.configFile}, log ${namesake.logFile}`);
    if (!embedded) {
      const broker = bed.broker.bootstrap.join(',');
      console.log(`  the topic       kcat -b ${broker} -t identity-change -C -e -X isolation.level=read_committed -f '%h\\n%k %s\\n\\n'`);
    }
    console.log('\nRename somebody with the command above and watch the log. Ctrl-C stops everything.');
    await interrupted.catch(() => {});
  }
  return works ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const usage = error instanceof TypeError && 'code' in error;
  console.error(error instanceof Error ? error.message : error);
  if (usage) console.error(`\n${USAGE}`);
  process.exitCode = usage ? 2 : 1;
}
