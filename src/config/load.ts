import { existsSync, readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
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
}

type Tree = { [key: string]: unknown };

/**
 * Reads the settings: defaults, then the file, then the environment, then flags.
 *
 * @throws ConfigurationError
 */
export function load({ file, environment, flags }: Sources): Loaded {
  const chosen = file ?? environment[FILE_VARIABLE] ?? DEFAULT_FILES.find((candidate) => existsSync(candidate));
  const problems: string[] = [];
  const origins = new Map<string, string>();
  const tree: Tree = chosen === undefined ? {} : readFile(chosen, problems);
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith('NAMESAKE_') || name === FILE_VARIABLE || text === undefined) continue;
    const found = optionOfVariable(name);
    if (found === undefined) problems.push(`${name}: there is no such setting (see namesake run --help)`);
    else set(tree, found.path, fromText(found.option, text), name, origins);
  }
  for (const [key, text] of flags) {
    const path = key.split('.');
    const option = optionOf(path);
    if (option === undefined) problems.push(`${flagOf(path)}: there is no such setting (see namesake run --help)`);
    else if (option.secret)
      problems.push(
        `${flagOf(path)}: a secret on the command line can be read by anyone on the machine; use ${variableOf(path)} or a file`,
      );
    else set(tree, path, fromText(option, text), flagOf(path), origins);
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  const parsed = Configuration.safeParse(tree);
  if (!parsed.success) {
    throw new ConfigurationError(
      parsed.error.issues.map(({ path, message }) => {
        const key = path.join('.');
        const origin = origins.get(key) ?? chosen ?? 'configuration';
        return `${origin}: ${key === '' ? '' : `${key}: `}${plain(message)}`;
      }),
    );
  }
  return { configuration: deepFreeze(parsed.data), effective: shown(tree), file: chosen };
}

function placeOf(text: string, offset: number): string {
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
    problems.push(`${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    return {};
  }
  // The library's own words would show the line, which may hold a secret.
  const document = parseDocument(text, { prettyErrors: false });
  problems.push(
    ...document.errors.map(({ code, pos }) => `${file}: ${placeOf(text, pos[0])}: not YAML (${code.toLowerCase().replaceAll('_', ' ')})`),
  );
  if (document.errors.length > 0) return {};
  const tree: unknown = document.toJS() ?? {};
  if (!isTree(tree)) {
    problems.push(`${file}: expected settings as \`key: value\``);
    return {};
  }
  for (const path of pathsIn(tree)) {
    if (optionOf(path)?.secret)
      problems.push(
        `${file}: ${path.join('.')}: a secret does not belong here; put it into a file of its own (${path.join('.')}File) or ${variableOf(path)}`,
      );
  }
  return tree;
}

function optionOf(path: readonly string[]): Option | undefined {
  const general = path.map((key) => (/^\d+$/.test(key) ? 'N' : key)).join('.');
  return OPTIONS.find((option) => option.path.join('.') === general);
}

function optionOfVariable(name: string): { option: Option; path: string[] } | undefined {
  for (const option of OPTIONS) {
    const match = new RegExp(`^${variableOf(option.path).replace('_N_', '_(\\d+)_')}$`).exec(name);
    if (match !== null) return { option, path: option.path.map((key) => (key === 'N' ? (match[1] ?? '0') : key)) };
  }
  return undefined;
}

function set(tree: Tree, path: readonly string[], value: unknown, origin: string, origins: Map<string, string>): void {
  let node: Tree = tree;
  path.forEach((key, index) => {
    if (index === path.length - 1) {
      node[key] = value;
      return;
    }
    const next = path[index + 1] ?? '';
    const present = node[key];
    const child: Tree = isTree(present) || Array.isArray(present) ? (present as Tree) : /^\d+$/.test(next) ? ([] as unknown as Tree) : {};
    node[key] = child;
    node = child;
  });
  origins.set(path.join('.'), origin);
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
