import { z } from 'zod';
import { Configuration } from './schema.ts';
import { SECRET, SEMICOLON } from './values.ts';

/** One setting, as file key, environment variable and flag. */
export interface Option {
  /** Keys from the top; `N` stands for the place in a list, from 0. */
  readonly path: readonly string[];
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'list' | 'object';
  readonly description: string;
  readonly default: unknown;
  /** From the environment or a file of its own only, never shown. */
  readonly secret: boolean;
  /** Between the values of a list where it is one text. */
  readonly separator: ',' | ';';
}

interface JsonSchema {
  readonly type?: string;
  readonly properties?: Record<string, JsonSchema>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly description?: string;
  readonly default?: unknown;
  readonly secret?: boolean;
  readonly separator?: string;
}

/** JSON Schema's names of single values that are not just text. */
const SCALARS = ['integer', 'number', 'boolean'] as const;

/** The table of all settings, in the order of the schema. */
export const OPTIONS: readonly Option[] = leaves(z.toJSONSchema(Configuration, { io: 'input' }) as JsonSchema, []);

/** `--organizations.0.url` */
export function flagOf(path: readonly string[]): string {
  return `--${path.join('.')}`;
}

/** `NAMESAKE_ORGANIZATIONS_0_URL` */
export function variableOf(path: readonly string[]): string {
  return `NAMESAKE_${path.map((key) => key.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toUpperCase()).join('_')}`;
}

/** What text from a flag or a variable means for an option. Lists are written with commas, those of DNs with semicolons. */
export function fromText(option: Option, text: string): unknown {
  switch (option.type) {
    case 'list':
      return text.split(option.separator).map((item) => item.trim());
    case 'integer':
      return /^-?\d+$/.test(text) ? Number(text) : text;
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'object':
      return text === '{}' ? {} : text;
    case 'string':
      return text;
  }
}

function leaves(schema: JsonSchema, path: readonly string[]): Option[] {
  const alternatives = (schema.oneOf ?? schema.anyOf)?.filter(({ properties }) => properties !== undefined) ?? [];
  if (alternatives.length > 0) return unique(alternatives.flatMap((alternative) => leaves(alternative, path)));
  if (schema.properties !== undefined && Object.keys(schema.properties).length > 0) {
    const inner = Object.entries(schema.properties).flatMap(([key, property]) => leaves(property, [...path, key]));
    return schema.description === undefined || path.length === 0 || schema.default !== undefined
      ? inner
      : [leaf(schema, path, 'object'), ...inner];
  }
  if (schema.items?.properties !== undefined) return leaves(schema.items, [...path, 'N']);
  return [leaf(schema, path, schema.type === 'array' ? 'list' : (SCALARS.find((type) => type === schema.type) ?? 'string'))];
}

function leaf(schema: JsonSchema, path: readonly string[], type: Option['type']): Option {
  const choices = schema.enum ?? (schema.const === undefined ? [] : [schema.const]);
  const description = [schema.description, choices.length > 1 ? `one of ${choices.join(', ')}` : undefined].filter(Boolean).join('; ');
  const separator = schema.separator === SEMICOLON.separator ? ';' : ',';
  return { path, type, description, default: schema.default, secret: schema.secret === SECRET.secret, separator };
}

/** The same key in several alternatives is one option. */
function unique(options: readonly Option[]): Option[] {
  const byPath = new Map<string, Option>();
  for (const option of options) {
    const key = option.path.join('.');
    if (!byPath.has(key)) byPath.set(key, option);
  }
  return [...byPath.values()];
}
