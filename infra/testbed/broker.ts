import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached } from './cache.ts';
import { askForCluster } from './kafka-probe.ts';
import { cacheDirectory, exists, fingerprint } from './paths.ts';
import { ManagedProcess } from './process.ts';
import { run } from './run.ts';

export interface BrokerOptions {
  /** Its own directory. */
  readonly path: string;
  readonly address: string;
  readonly count: 1 | 3;
}

const POM = fileURLToPath(new URL('../broker/pom.xml', import.meta.url));
const LOG_CONFIG = fileURLToPath(new URL('../broker/log4j2.properties', import.meta.url));
const FIRST_PORT = 9092;
const FIRST_CONTROLLER_PORT = 19_092;
const JAVA = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Dlog4j2.configurationFile=${LOG_CONFIG}`];
const PROBE = 3_000;

export const BROKER_PORTS: readonly number[] = [0, 1, 2].flatMap((index) => [FIRST_PORT + index, FIRST_CONTROLLER_PORT + index]);

/** Apache Kafka brokers that are each other's controllers; what they stored survives stop and start. */
export class Broker implements AsyncDisposable {
  readonly bootstrap: readonly string[];
  readonly nodes: readonly ManagedProcess[];

  private constructor(bootstrap: readonly string[], nodes: readonly ManagedProcess[]) {
    this.bootstrap = bootstrap;
    this.nodes = nodes;
  }

  /** Everything up to the start: formatted storage and configuration. */
  static async prepare(options: BrokerOptions): Promise<Broker> {
    const jars = await brokerJars();
    const numbers = Array.from({ length: options.count }, (_, index) => index + 1);
    const cluster = kafkaId();
    const nodes = await Promise.all(numbers.map((number) => prepareNode(options, number, jars, cluster)));
    return new Broker(
      numbers.map((number) => `${options.address}:${portOf(number)}`),
      nodes,
    );
  }

  /** All nodes at once: one alone would wait for the quorum. */
  async start(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.start()));
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  async kill(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  pause(): void {
    for (const node of this.nodes) {
      node.pause();
    }
  }

  resume(): void {
    for (const node of this.nodes) {
      node.resume();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** The directory of the broker's jars, which the set-up has filled. */
async function brokerJars(): Promise<string> {
  const path = join(cacheDirectory(), `broker-${fingerprint(await readFile(POM, 'utf8'))}`);
  if (!(await exists(path))) {
    throw new Error(`the broker's jars are missing (${path}): node infra/setup.mjs --need broker -- true`);
  }
  return path;
}

async function prepareNode(options: BrokerOptions, number: number, jars: string, cluster: string): Promise<ManagedProcess> {
  const path = join(options.path, String(number));
  const data = join(path, 'data');
  const config = join(path, 'server.properties');
  await mkdir(path, { recursive: true, mode: 0o700 });
  await writeFile(config, serverProperties(options, number, data));
  await format(data, number, cluster, jars);
  return new ManagedProcess({
    name: options.count === 1 ? 'broker' : `broker ${number}`,
    command: 'java',
    args: ['-Xmx512m', ...JAVA, '-cp', `${jars}/*`, 'kafka.Kafka', config],
    cwd: path,
    log: join(options.path, `broker-${number}.log`),
    ready: () => answers(options.address, number),
    startWithin: 60_000,
    stopWithin: 15_000,
  });
}

/**
 * What Kafka's own tool wrote for another node, under this node's names: only meta.properties differs, and the tool takes a second
 * of a core each time.
 */
async function format(data: string, number: number, cluster: string, jars: string): Promise<void> {
  const template = await cached(`storage-${fingerprint(jars)}`, (fresh) => formatTemplate(fresh, jars));
  const meta = join(data, 'meta.properties');
  if (await exists(meta)) {
    return;
  }
  await mkdir(data, { recursive: true, mode: 0o700 });
  await copyFile(join(template, 'bootstrap.checkpoint'), join(data, 'bootstrap.checkpoint'));
  await writeFile(meta, `version=1\ncluster.id=${cluster}\nnode.id=${number}\ndirectory.id=${kafkaId()}\n`);
}

async function formatTemplate(path: string, jars: string): Promise<void> {
  const config = join(path, 'server.properties');
  await writeFile(config, serverProperties({ path, address: '127.0.0.1', count: 1 }, 1, path));
  await run('java', [...JAVA, '-cp', `${jars}/*`, 'kafka.tools.StorageTool', 'format', '-t', kafkaId(), '-c', config]);
}

/** A UUID as Kafka writes them; its tools take one that begins with a dash for an option. */
function kafkaId(): string {
  const id = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url');
  return id.startsWith('-') ? kafkaId() : id;
}

function portOf(number: number): number {
  return FIRST_PORT + number - 1;
}

/** The broker is a member of its cluster and the cluster has a controller. */
async function answers(host: string, number: number): Promise<void> {
  const { brokers, controller } = await askForCluster(host, portOf(number), PROBE);
  if (controller === undefined || !brokers.includes(number)) {
    throw new Error(`broker ${number} has not joined its cluster`);
  }
}

/**
 * Small internal topics and short waits; everything else is as Kafka ships it. The session timeout is how long a killed broker's
 * successor has to wait for its place.
 */
function serverProperties(options: BrokerOptions, number: number, data: string): string {
  const { address, count } = options;
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const listener = `PLAINTEXT://${address}:${portOf(number)}`;
  const inSync = Math.min(2, count);
  return `process.roles=broker,controller
node.id=${number}
listeners=${listener},CONTROLLER://${address}:${FIRST_CONTROLLER_PORT + number - 1}
advertised.listeners=${listener}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
controller.quorum.voters=${numbers.map((each) => `${each}@${address}:${FIRST_CONTROLLER_PORT + each - 1}`).join(',')}
log.dirs=${data}
auto.create.topics.enable=false
default.replication.factor=${count}
min.insync.replicas=${inSync}
offsets.topic.num.partitions=3
offsets.topic.replication.factor=${count}
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=${count}
transaction.state.log.min.isr=${inSync}
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=${count}
share.coordinator.state.topic.min.isr=${inSync}
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
`;
}
