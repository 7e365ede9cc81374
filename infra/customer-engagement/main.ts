import { readConfig } from './config.ts';
import { startStandIn } from './stand-in.ts';

const [path, more] = process.argv.slice(2);
if (path === undefined || more !== undefined) {
  console.error('usage: node infra/customer-engagement/main.ts CONFIG.json');
  process.exit(2);
}
try {
  const standIn = await startStandIn(readConfig(path));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void standIn.close().then(() => process.exit(0)));
  console.log(`ready ${JSON.stringify({ port: standIn.port, controlPort: standIn.controlPort })}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
