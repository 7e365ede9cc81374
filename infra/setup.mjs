// Sets up what is missing, then runs a command with this project's own Node and tools first in PATH.
//
//   node infra/setup.mjs [--need directory] [--need broker] [--want broker] [--need kerberos] [-- COMMAND ARGUMENTS...]
//
// --need directory  Debian packages for a domain controller and the clients that look into it
// --need broker     Java, and Kafka's jars by Maven
// --need kerberos   the npm package kerberos, what it is compiled with, and a web server that takes tickets
// --want broker     the same, but goes on without; COMMAND finds `ready` or `missing` in TESTBED_BROKER
//
// npm packages are always set up. Plain JavaScript without dependencies: whatever Node starts it, nothing is installed yet.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir, constants as osConstants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const POM = join(ROOT, 'infra/broker/pom.xml');
const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'namesake');
const DIRECTORY_PACKAGES = 'samba samba-ad-provision samba-dsdb-modules winbind ldb-tools python3-samba ldap-utils kcat openssl'.split(' ');
const KERBEROS_PACKAGES = 'libkrb5-dev g++ make python3 apache2-bin libapache2-mod-auth-gssapi libfaketime'.split(' ');
const USAGE = 'usage: node infra/setup.mjs [--need directory] [--need broker] [--want broker] [--need kerberos] [-- COMMAND ARGUMENTS...]';
const SHOWN_LINES = 12;
const EXIT_SETUP = 1;
const EXIT_USAGE = 2;
const EXIT_NOT_STARTED = 127;

/** Something that cannot be set up here; its message says what is missing and what to do. */
class Missing extends Error {}

/** The child that signals are for. */
let current;
let interrupted;

const say = (line) => process.stderr.write(`set-up: ${line}\n`);
const found = (command) => (process.env.PATH ?? '').split(delimiter).some((directory) => isExecutable(join(directory, command)));

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function parse(args) {
  const end = args.indexOf('--');
  const options = end < 0 ? args : args.slice(0, end);
  const wishes = { directory: undefined, broker: undefined, kerberos: undefined, command: end < 0 ? [] : args.slice(end + 1) };
  for (let index = 0; index < options.length; index += 2) {
    const [how, what] = [options[index], options[index + 1]];
    const known = (how === '--need' && ['directory', 'broker', 'kerberos'].includes(what)) || (how === '--want' && what === 'broker');
    if (!known) {
      process.stderr.write(`${USAGE}\n`);
      process.exit(options.includes('--help') ? 0 : EXIT_USAGE);
    }
    wishes[what] = wishes[what] === 'need' ? 'need' : how.slice(2);
  }
  return wishes;
}

/** Some tools say why they failed first, some last. */
function shortened(text) {
  const lines = text.trimEnd().split('\n');
  return lines.length <= 2 * SHOWN_LINES ? text : [...lines.slice(0, SHOWN_LINES), '...', ...lines.slice(-SHOWN_LINES)].join('\n');
}

/** Runs to the end. Quiet, unless it fails: then what it printed is in the error. */
function run(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    current = child;
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (interrupted !== undefined) {
        process.exit(128 + osConstants.signals[interrupted]);
      }
      if (code === 0) {
        resolve(output);
      } else {
        reject(new Error(`${command} ${args.join(' ')} failed (${signal ?? `exit code ${code}`}):\n${shortened(`${output}${errors}`)}`));
      }
    });
  });
}

/** One long step, with a line before and a line after. */
async function step(title, work) {
  const begun = Date.now();
  say(`${title} ...`);
  await work();
  say(`${title}: done in ${((Date.now() - begun) / 1000).toFixed(1)} s`);
}

function packagesAreStale() {
  const lockFile = join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(lockFile) || !isExecutable(join(ROOT, 'node_modules/.bin/node'))) {
    return true;
  }
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const [wanted, installed] = [packages(join(ROOT, 'package-lock.json')), packages(lockFile)];
  // Packages for other platforms are in the one and not in the other.
  const absent = Object.keys(wanted).some((name) => name !== '' && !wanted[name].optional && installed[name] === undefined);
  return absent || Object.keys(installed).some((name) => installed[name].version !== wanted[name]?.version);
}

async function setUpPackages() {
  const npm = process.env.npm_execpath;
  const [command, ...args] = npm?.endsWith('js') ? [process.execPath, npm] : ['npm'];
  await step('npm packages', () => run(command, [...args, 'ci', '--no-audit', '--no-fund', '--loglevel=error']));
  if (!isExecutable(join(ROOT, 'node_modules/.bin/node'))) {
    throw new Missing(
      'the npm package `node` (Node 24) was installed without its program.\n' +
        'Its install script was not allowed to run: remove `ignore-scripts` from your npm configuration and try again.',
    );
  }
}

async function missingPackages(names) {
  if (!found('dpkg-query')) {
    const commands = ['samba', 'ldbsearch', 'ldapsearch', 'kcat', 'openssl'].filter((command) => !found(command));
    return commands.length === 0 ? [] : names;
  }
  // Its exit code is not 0 as soon as one of them is unknown; the lines tell which are there.
  const known = await run('/bin/sh', ['-c', `dpkg-query -W -f '\${Package} \${db:Status-Abbrev}\\n' ${names.join(' ')} 2>/dev/null; true`]);
  return names.filter((name) => !known.split('\n').some((line) => line.trim() === `${name} ii`));
}

async function installPackages(names, why) {
  const line = `apt-get install --no-install-recommends ${names.join(' ')}`;
  if (!found('apt-get')) {
    throw new Missing(
      `${why}: ${names.join(', ')} missing, and this is not Debian.\nInstall what they hold by hand, or use a Debian 12 machine.`,
    );
  }
  if (process.getuid() !== 0) {
    throw new Missing(`${why}: ${names.join(', ')} missing, and only root can install them.\nRun as root: ${line}`);
  }
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await step(`Debian packages ${names.join(' ')}`, async () => {
    await run('apt-get', ['-q', 'update'], env);
    await run('apt-get', ['-q', '-y', 'install', '--no-install-recommends', ...names], env);
  });
  if (names.includes('samba') && existsSync('/run/systemd/system')) {
    // Only the programs are wanted, not a file server on this machine's addresses.
    await run('systemctl', ['disable', '--now', 'smbd.service', 'nmbd.service', 'winbind.service']).catch((error) => say(error.message));
  }
}

async function directoryGaps() {
  if (process.getuid() !== 0) {
    throw new Missing('the domain controller needs ports below 1024 and its own file owners: run this as root.');
  }
  return await missingPackages(DIRECTORY_PACKAGES);
}

function jarsDirectory() {
  const hash = createHash('sha256').update(readFileSync(POM, 'utf8')).update('\0').digest('hex');
  return join(CACHE, `broker-${hash.slice(0, 16)}`);
}

const kerberosIsBuilt = () => existsSync(join(ROOT, 'node_modules/kerberos/build/Release/kerberos.node'));

/** It is optional for npm, which goes on without it where it cannot be compiled. */
async function setUpKerberos() {
  await setUpPackages();
  if (!kerberosIsBuilt()) {
    throw new Missing(
      'the npm package kerberos was not compiled: npm rebuild kerberos --foreground-scripts says why.\n' +
        'It needs the C++ headers of Node beside libkrb5-dev (npm fetches them, or finds them by its setting nodedir).',
    );
  }
}

const brokerIsReady = () => existsSync(jarsDirectory()) && found('java');

async function setUpBroker() {
  const jars = jarsDirectory();
  const absent = [...(found('java') ? [] : ['default-jre-headless']), ...(found('mvn') || existsSync(jars) ? [] : ['maven'])];
  if (absent.length > 0) {
    await installPackages(absent, 'the broker needs Java 17 or newer, and Maven to fetch it');
  }
  if (existsSync(jars)) {
    return;
  }
  await requireJava();
  await step("Kafka's jars", async () => {
    mkdirSync(CACHE, { recursive: true, mode: 0o700 });
    const fresh = mkdtempSync(join(CACHE, 'new-'));
    try {
      await run('mvn', ['-B', '-f', POM, 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${fresh}`]);
      if (!readdirSync(fresh).some((name) => /^kafka_.*\.jar$/.test(name))) {
        throw new Error(`Maven said nothing against it, but Kafka's jar is not in ${fresh}`);
      }
      renameSync(fresh, jars);
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  });
}

async function requireJava() {
  const text = await run('/bin/sh', ['-c', 'java -version 2>&1']);
  const version = Number(/version "(\d+)/.exec(text)?.[1]);
  if (!(version >= 17)) {
    throw new Missing(`the broker needs Java 17 or newer; the java in PATH says:\n${text.trim()}\nPut a newer one first in PATH.`);
  }
}

/** Held until this process ends, however it ends; another run waits meanwhile. Without flock (not Linux) runs are not kept apart. */
async function lock() {
  if (!found('flock')) {
    return;
  }
  mkdirSync(CACHE, { recursive: true, mode: 0o700 });
  const holder = spawn('flock', [join(CACHE, 'setup.lock'), 'sh', '-c', 'echo held; exec cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const waiting = setTimeout(() => say('waiting for another set-up to finish'), 2_000);
  await new Promise((resolve, reject) => {
    holder.stdout.once('data', resolve);
    holder.once('exit', () => reject(new Error('the lock of the set-up cannot be taken')));
  });
  clearTimeout(waiting);
  return () => holder.stdin.end();
}

/** @returns whether there is a broker to start */
async function setUp(wishes) {
  const packages = packagesAreStale();
  const directory = wishes.directory !== undefined && (await directoryGaps()).length > 0;
  const broker = wishes.broker !== undefined && !brokerIsReady();
  const kerberosPackages = wishes.kerberos === undefined ? [] : await missingPackages(KERBEROS_PACKAGES);
  const kerberos = kerberosPackages.length > 0 || (wishes.kerberos !== undefined && !kerberosIsBuilt());
  if (!packages && !directory && !broker && !kerberos) {
    return wishes.broker !== undefined;
  }
  const release = await lock();
  // Asked again: the run that was waited for has mostly done the work.
  const absent = kerberos ? await missingPackages(KERBEROS_PACKAGES) : [];
  if (absent.length > 0) {
    await installPackages(absent, 'Kerberos needs its headers, a compiler, and a web server to log on to');
  }
  if (packages && packagesAreStale()) {
    await setUpPackages();
  }
  if (kerberos && !kerberosIsBuilt()) {
    await setUpKerberos();
  }
  const gaps = directory ? await directoryGaps() : [];
  if (gaps.length > 0) {
    await installPackages(gaps, 'the domain controller needs Samba and its tools');
  }
  if (broker && !brokerIsReady()) {
    await setUpBroker().catch((error) => {
      if (wishes.broker === 'need') {
        throw error;
      }
      say(`going on without a broker, because ${error.message}`);
    });
  }
  release?.();
  return wishes.broker !== undefined && brokerIsReady();
}

function runCommand([command, ...args], broker) {
  const env = {
    ...process.env,
    PATH: [join(ROOT, 'node_modules/.bin'), process.env.PATH].join(delimiter),
    TESTBED_BROKER: broker ? 'ready' : 'missing',
  };
  const child = spawn(command, args, { env, stdio: 'inherit' });
  current = child;
  child.once('error', (error) => {
    say(`${command} cannot be started: ${error.message}`);
    process.exitCode = EXIT_NOT_STARTED;
  });
  child.once('exit', (code, signal) => {
    process.exitCode = code ?? 128 + osConstants.signals[signal];
  });
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = signal;
    if (current === undefined || current.exitCode !== null || current.signalCode !== null) {
      process.exit(128 + osConstants.signals[signal]);
    }
    // A terminal has sent its interrupt to the child already.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) {
      current.kill(signal);
    }
  });
}

const wishes = parse(process.argv.slice(2));
try {
  const broker = await setUp(wishes);
  if (wishes.command.length > 0) {
    runCommand(wishes.command, broker);
  }
} catch (error) {
  say(error instanceof Missing ? error.message : `failed. ${error.message}`);
  process.exit(EXIT_SETUP);
}
