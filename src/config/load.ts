import { existsSync, readFileSync } from 'node:fs';
import { isAlias, parseDocument, visit } from 'yaml';
import { flagOf, fromText, OPTIONS, type Option, variableOf } from './options.ts';
import { Configuration } from './schema.ts';

/** Where a configuration file is looked for when none is named. */
export const DEFAULT_FILES = ['namesake.yaml', '/etc/namesake/namesake.yaml'];

/** Names the file; not a setting itself. */
export const FILE_VARIABLE = 'NAMESAKE_CONFIG';

/** What is wrong with the settings, one line each: where, which, what is expected. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
  }
}

export interface Sources {
  /** Undefined: the first of DEFAULT_FILES that exists. */
  readonly file: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** By path with dots: `organizations.0.url`. */
  readonly flags: ReadonlyMap<string, string>;
}

export interface Loaded {
  readonly configuration: Configuration;
  /** As it was written, with defaults, secrets masked. */
  readonly effective: unknown;
  /** The file that was read, if there was one. */
  readonly file: string | undefined;
  /** The variable or flag of each setting that is neither from the file nor a default, by path with dots. */
  readonly origins: ReadonlyMap<string, string>;
}

type Tree = { [key: string]: unknown };

/** A setting that a variable or a flag gives. */
interface Assignment {
  readonly path: readonly string[];
  readonly value: unknown;
  /** The variable or the flag. */
  readonly origin: string;
}

/**
 * Reads the settings: defaults, then the file, then the environment, then flags.
 *
 * @throws ConfigurationError
 */
export function load({ file, environment, flags }: Sources): Loaded {
  const chosen = file ?? (environment[FILE_VARIABLE] || DEFAULT_FILES.find((candidate) => existsSync(candidate)));
  const problems: string[] = [];
  const tree: Tree = chosen === undefined ? {} : readFile(chosen, problems);
  const assignments = [...assignmentsOf(environment, problems), ...assignmentsOfFlags(flags, problems)];
  const givers = new Map<string, string>();
  // Lists grow place by place, in whatever order the environment has them; at one place flags still go last.
  for (const { path, value, origin } of assignments.toSorted((a, b) => placeIn(a.path) - placeIn(b.path))) {
    const hole = holeBefore(tree, path);
    if (hole === undefined) set(tree, path, value, origin, givers);
    else problems.push(`${origin}: ${hole}`);
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  const parsed = Configuration.safeParse(tree);
  if (!parsed.success) {
    throw new ConfigurationError(
      parsed.error.issues.map(({ path, message }) => {
        const key = path.join('.');
        const origin = giverOf(path.map(String), givers) ?? chosen ?? 'configuration';
        return `${origin}: ${key === '' ? '' : `${key}: `}${plain(message)}`;
      }),
    );
  }
  const origins = new Map(assignments.map(({ path, origin }) => [path.join('.'), origin]));
  return { configuration: deepFreeze(parsed.data), effective: shown(tree), file: chosen, origins };
}

function assignmentsOf(environment: Sources['environment'], problems: string[]): Assignment[] {
  return Object.entries(environment).flatMap(([name, text]) => {
    if (!name.startsWith('NAMESAKE_') || name === FILE_VARIABLE || text === undefined) return [];
    const found = optionOfVariable(name);
    if (found !== undefined) return { path: found.path, value: fromText(found.option, text), origin: name };
    problems.push(`${name}: there is no such setting (see namesake run --help)`);
    return [];
  });
}

function assignmentsOfFlags(flags: Sources['flags'], problems: string[]): Assignment[] {
  const assignments: Assignment[] = [];
  for (const [key, text] of flags) {
    const path = key.split('.');
    const option = optionOf(path);
    if (option === undefined) problems.push(`${flagOf(path)}: there is no such setting (see namesake run --help)`);
    else if (option.secret)
      problems.push(
        `${flagOf(path)}: a secret on the command line can be read by anyone on the machine; use ${variableOf(path)} or a file`,
      );
    else assignments.push({ path, value: fromText(option, text), origin: flagOf(path) });
  }
  return assignments;
}

function lineOf(text: string, offset: number): string {
  const before = text.slice(0, offset).split('\n');
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
}

/** Zod's words without its jargon. */
function plain(message: string): string {
  return message
    .replace(/^Invalid input: expected (.*), received undefined$/, 'missing, expected $1')
    .replace(/^Invalid (input|option): /, '');
}

function readFile(file: string, problems: string[]): Tree {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigurationError([`${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`]);
  }
  const tree = parse(file, text);
  if (!isTree(tree)) throw new ConfigurationError([`${file}: expected settings as \`key: value\``]);
  for (const path of pathsIn(tree)) {
    if (optionOf(path)?.secret)
      problems.push(
        `${file}: ${path.join('.')}: a secret does not belong here; put it into a file of its own (${path.join('.')}File) or ${variableOf(path)}`,
      );
  }
  return tree;
}

/** The library's own words would show what stands there, which may be a secret. So this says where, and no more. */
function parse(file: string, text: string): unknown {
  try {
    const document = parseDocument(text, { prettyErrors: false, stringKeys: true });
    const problems = document.errors.map(
      ({ code, pos }) => `${file}: ${lineOf(text, pos[0])}: not YAML (${code.toLowerCase().replaceAll('_', ' ')})`,
    );
    visit(document, {
      Node: (_, node) => {
        if (!isAlias(node) && node.anchor === undefined) return;
        const [start] = node.range ?? [0];
        const offset = isAlias(node) ? start : text.lastIndexOf(`&${node.anchor}`, start);
        problems.push(`${file}: ${lineOf(text, offset)}: anchors and aliases are not allowed; text that begins with & or * needs quotes`);
      },
    });
    if (problems.length > 0) throw new ConfigurationError(problems);
    return document.toJS() ?? {};
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    throw new ConfigurationError([`${file}: not YAML that settings can be read from`]);
  }
}

/** The place in a list as a path has it; leading zeros would be a second name for the same place. */
const PLACE = '0|[1-9]\\d*';
const isPlace = (key: string) => new RegExp(`^(${PLACE})$`).test(key);

/** Which place of a list a path leads to; -1 when it leads to none. */
function placeIn(path: readonly string[]): number {
  return Number(path.find(isPlace) ?? -1);
}

/** What is wrong with the place that a path leads to: a list may become longer by one, but has no holes. */
function holeBefore(tree: Tree, path: readonly string[]): string | undefined {
  const depth = path.findIndex(isPlace);
  const above = path.slice(0, Math.max(depth, 0));
  const list = above.reduce<unknown>((node, key) => (node as Tree | undefined)?.[key], tree);
  const next = Array.isArray(list) ? list.length : 0;
  return placeIn(path) <= next ? undefined : `${above.join('.')} has no place ${path[depth]}; the next free one is ${next}`;
}

function optionOf(path: readonly string[]): Option | undefined {
  const general = path.map((key) => (isPlace(key) ? 'N' : key)).join('.');
  return OPTIONS.find((option) => option.path.join('.') === general);
}

function optionOfVariable(name: string): { option: Option; path: string[] } | undefined {
  for (const option of OPTIONS) {
    const match = new RegExp(`^${variableOf(option.path).replace('_N_', `_(${PLACE})_`)}$`).exec(name);
    if (match !== null) return { option, path: option.path.map((key) => (key === 'N' ? (match[1] ?? '0') : key)) };
  }
  return undefined;
}

/** @param givers is told who gave what, also what had to be made on the way there */
function set(tree: Tree, path: readonly string[], value: unknown, origin: string, givers: Map<string, string>): void {
  let node: Tree = tree;
  path.forEach((key, index) => {
    if (index === path.length - 1) {
      node[key] = value;
      return;
    }
    const next = path[index + 1] ?? '';
    const present = node[key];
    const isThere = isTree(present) || Array.isArray(present);
    const child: Tree = isThere ? (present as Tree) : isPlace(next) ? ([] as unknown as Tree) : {};
    if (!isThere) givers.set(path.slice(0, index + 1).join('.'), origin);
    node[key] = child;
    node = child;
  });
  givers.set(path.join('.'), origin);
}

/** Who gave a setting, or the nearest one that it is a part of. */
function giverOf(path: readonly string[], givers: ReadonlyMap<string, string>): string | undefined {
  for (let length = path.length; length > 0; length--) {
    const giver = givers.get(path.slice(0, length).join('.'));
    if (giver !== undefined) return giver;
  }
  return undefined;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function* pathsIn(value: unknown, path: readonly string[] = []): Generator<string[]> {
  if (typeof value !== 'object' || value === null) yield [...path];
  else for (const [key, inner] of Object.entries(value)) yield* pathsIn(inner, [...path, key]);
}

/** The settings as somebody would have written them all, secrets masked. */
function shown(tree: Tree): unknown {
  const copy = structuredClone(tree);
  for (const option of OPTIONS) {
    for (const path of present(copy, option.path)) {
      const parent = path.slice(0, -1).reduce<unknown>((node, key) => (node as Tree | undefined)?.[key], copy) as Tree | undefined;
      const key = path.at(-1) ?? '';
      if (parent === undefined) {
        if (option.default !== undefined && !isOtherLog(copy, path)) set(copy, path, option.default, '', new Map());
      } else if (parent[key] === undefined) {
        if (option.default !== undefined) parent[key] = option.default;
      } else if (option.secret) {
        parent[key] = '***';
      }
    }
  }
  return copy;
}

/** A setting of a log that is not the one in use. */
function isOtherLog(tree: Tree, path: readonly string[]): boolean {
  const usesKafka = isTree(tree.log) && tree.log.kafka !== undefined;
  return path[0] === 'log' && path[1] === (usesKafka ? 'sqlite' : 'kafka');
}

/** The places where an option with `N` can stand in these settings. */
function present(tree: Tree, path: readonly string[]): string[][] {
  const place = path.indexOf('N');
  if (place === -1) return [[...path]];
  const list = path.slice(0, place).reduce<unknown>((node, key) => (node as Tree | undefined)?.[key], tree);
  return Array.isArray(list) ? list.map((_, index) => path.map((key) => (key === 'N' ? String(index) : key))) : [];
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
