import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Authority } from './authority.ts';
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
  /** Adds a listener that speaks TLS with a certificate of this authority, and wants a logon. */
  readonly securedBy?: Authority | undefined;
}

/** Who may log on to the secured listener (SASL PLAIN). */
export const BROKER_LOGON = { username: 'namesake', password: 'Broker-Passw0rd-of-the-bed' } as const;

const POM = fileURLToPath(new URL('../broker/pom.xml', import.meta.url));
const LOG_CONFIG = fileURLToPath(new URL('../broker/log4j2.properties', import.meta.url));
const FIRST_PORT = 9092;
const FIRST_CONTROLLER_PORT = 19_092;
const FIRST_SECURED_PORT = 29_092;
const JAVA = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Dlog4j2.configurationFile=${LOG_CONFIG}`];
const PROBE = 3_000;

export const BROKER_PORTS: readonly number[] = [0, 1, 2].flatMap((index) => [
  FIRST_PORT + index,
  FIRST_CONTROLLER_PORT + index,
  FIRST_SECURED_PORT + index,
]);

/** Apache Kafka brokers that are each other's controllers; what they stored survives stop and start. */
export class Broker implements AsyncDisposable {
  readonly bootstrap: readonly string[];
  /** The same by way of the secured listener. */
  readonly secured: readonly string[];
  readonly nodes: readonly ManagedProcess[];

  private constructor({ address, count }: BrokerOptions, nodes: readonly ManagedProcess[]) {
    const places = (port: number) => Array.from({ length: count }, (_, index) => `${address}:${port + index}`);
    this.bootstrap = places(FIRST_PORT);
    this.secured = places(FIRST_SECURED_PORT);
    this.nodes = nodes;
  }

  /** Everything up to the start: formatted storage and configuration. */
  static async prepare(options: BrokerOptions): Promise<Broker> {
    const jars = await brokerJars();
    const numbers = Array.from({ length: options.count }, (_, index) => index + 1);
    const cluster = kafkaId();
    const nodes = await Promise.all(numbers.map((number) => prepareNode(options, number, jars, cluster)));
    return new Broker(options, nodes);
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
  await writeFile(config, serverProperties(options, number, data) + (await securedProperties(options, path)));
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
  const secured = options.securedBy === undefined ? '' : `,SECURED://${address}:${FIRST_SECURED_PORT + number - 1}`;
  const listeners = `PLAINTEXT://${address}:${portOf(number)}${secured}`;
  const inSync = Math.min(2, count);
  return `process.roles=broker,controller
node.id=${number}
listeners=${listeners},CONTROLLER://${address}:${FIRST_CONTROLLER_PORT + number - 1}
advertised.listeners=${listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL
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

/** Key, certificate and logon of the secured listener, where there is one. */
async function securedProperties({ securedBy, address }: BrokerOptions, path: string): Promise<string> {
  if (securedBy === undefined) {
    return '';
  }
  const { keyFile, certFile } = await securedBy.issue('broker', [address]);
  const store = join(path, 'keystore.pem');
  await writeFile(store, `${await readFile(keyFile, 'utf8')}${await readFile(certFile, 'utf8')}`, { mode: 0o600 });
  const { username, password } = BROKER_LOGON;
  const logon = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`;
  return `listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location=${store}
listener.name.secured.sasl.enabled.mechanisms=PLAIN
listener.name.secured.plain.sasl.jaas.config=${logon}
`;
}
