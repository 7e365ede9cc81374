import { odataError } from './api-error.ts';
import { columnNamed, type Value } from './columns.ts';

export type Comparison = 'eq' | 'ne' | 'gt' | 'ge' | 'lt' | 'le';
export type TextFunction = 'contains' | 'startswith' | 'endswith';

/** A $filter, understood. Date literals are kept as they were written. */
export type Filter =
  | { readonly kind: 'and'; readonly parts: readonly Filter[] }
  | { readonly kind: 'or'; readonly parts: readonly Filter[] }
  | { readonly kind: 'not'; readonly part: Filter }
  | { readonly kind: 'compare'; readonly column: string; readonly operator: Comparison; readonly value: Value }
  | { readonly kind: 'text'; readonly column: string; readonly function: TextFunction; readonly value: string };

type TokenType = 'space' | 'punctuation' | 'string' | 'guid' | 'datetime' | 'number' | 'alias' | 'word';

interface Token {
  readonly type: TokenType;
  readonly text: string;
  readonly position: number;
}

const PATTERNS: readonly (readonly [TokenType, RegExp])[] = [
  ['space', /\s+/y],
  ['punctuation', /[(),]/y],
  ['string', /'(?:[^']|'')*'/y],
  ['guid', /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])/iy],
  ['datetime', /\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?(?:Z|[+-]\d\d:\d\d))?(?![\w-])/y],
  ['number', /-?\d+(?:\.\d+)?(?![\w-])/y],
  ['alias', /@[A-Za-z_]\w*/y],
  ['word', /[A-Za-z_]\w*/y],
];

const COMPARISONS: ReadonlySet<string> = new Set<Comparison>(['eq', 'ne', 'gt', 'ge', 'lt', 'le']);
const FUNCTIONS: ReadonlySet<string> = new Set<TextFunction>(['contains', 'startswith', 'endswith']);
/** Deeper brackets than any real request has would only exhaust the stack. */
const DEEPEST = 200;

/**
 * Parses the part of the $filter language that the Web API documents: eq ne gt ge lt le, and or not, brackets,
 * contains startswith endswith, literals, parameter aliases. Everything else is an error, as on the server.
 *
 * @param alias the text behind a parameter alias such as `@p1`
 * @throws ApiError
 */
export function parseFilter(text: string, alias: (name: string) => string | undefined = () => undefined): Filter {
  const parser = new Parser(text, alias);
  return parser.whole();
}

function tokens(text: string): Token[] {
  const found: Token[] = [];
  let position = 0;
  while (position < text.length) {
    const token = tokenAt(text, position);
    if (token === undefined) throw odataError(`Syntax error at position ${position} in '${text}'.`);
    position += token.text.length;
    if (token.type !== 'space') found.push(token);
  }
  return found;
}

function tokenAt(text: string, position: number): Token | undefined {
  for (const [type, pattern] of PATTERNS) {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match !== null) return { type, text: match[0], position };
  }
  return undefined;
}

class Parser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  readonly #alias: (name: string) => string | undefined;
  #next = 0;
  #depth = 0;

  constructor(text: string, alias: (name: string) => string | undefined) {
    this.#text = text;
    this.#tokens = tokens(text);
    this.#alias = alias;
  }

  whole(): Filter {
    const filter = this.#any();
    if (this.#peek() !== undefined) throw this.#wrong();
    return filter;
  }

  #any(): Filter {
    return this.#list('or', () => this.#list('and', () => this.#one()));
  }

  #list(word: 'and' | 'or', part: () => Filter): Filter {
    const first = part();
    if (!this.#isWord(word)) return first;
    const parts = [first];
    while (this.#takeWord(word)) parts.push(part());
    return { kind: word, parts };
  }

  #one(): Filter {
    this.#depth += 1;
    if (this.#depth > DEEPEST) throw odataError('The query is nested too deeply.');
    const filter = this.#negated() ?? this.#bracketed() ?? this.#condition();
    this.#depth -= 1;
    return filter;
  }

  #negated(): Filter | undefined {
    return this.#takeWord('not') ? { kind: 'not', part: this.#one() } : undefined;
  }

  #bracketed(): Filter | undefined {
    if (this.#peek()?.text !== '(') return undefined;
    this.#next += 1;
    const filter = this.#any();
    this.#take(')');
    return filter;
  }

  #condition(): Filter {
    const word = this.#word();
    if (this.#peek()?.text === '(') return this.#function(word.text);
    const type = columnType(word.text);
    const operator = this.#word();
    if (!isComparison(operator.text)) throw this.#wrong(operator);
    const value = this.#literal(type, operator.text);
    return { kind: 'compare', column: word.text, operator: operator.text, value };
  }

  #function(name: string): Filter {
    if (!isFunction(name)) throw odataError(`An unknown function with name '${name}' was found.`);
    this.#take('(');
    const column = this.#word().text;
    if (columnType(column) !== 'string')
      throw odataError(`No function signature for the function with name '${name}' matches its arguments.`);
    this.#take(',');
    const value = this.#literal('string', 'eq');
    if (typeof value !== 'string') throw odataError(`No function signature for the function with name '${name}' matches its arguments.`);
    this.#take(')');
    return { kind: 'text', column, function: name, value };
  }

  #literal(type: string, operator: Comparison): Value {
    let token = this.#tokens[this.#next];
    if (token === undefined) throw this.#wrong();
    this.#next += 1;
    if (token.type === 'alias') {
      const [first, more] = tokens(this.#alias(token.text) ?? 'null');
      if (first === undefined || more !== undefined) throw this.#wrong(token);
      token = first;
    }
    const value = literalValue(token);
    if (value === undefined) throw this.#wrong(token);
    const literalType =
      token.text === 'null' ? 'null' : token.type === 'word' ? 'boolean' : token.type === 'number' ? 'integer' : token.type;
    if (literalType !== 'null' && literalType !== type)
      throw odataError(
        `A binary operator with incompatible types was detected. Found operand types '${edm(type)}' and '${edm(literalType)}' for operator '${operator}'.`,
      );
    return value;
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#next];
  }

  #isWord(text: string): boolean {
    const token = this.#peek();
    return token?.type === 'word' && token.text === text;
  }

  #takeWord(text: string): boolean {
    const taken = this.#isWord(text);
    if (taken) this.#next += 1;
    return taken;
  }

  #take(text: string): void {
    const token = this.#peek();
    if (token?.type !== 'punctuation' || token.text !== text) throw this.#wrong(token);
    this.#next += 1;
  }

  #word(): Token {
    const token = this.#peek();
    if (token?.type !== 'word') throw this.#wrong(token);
    this.#next += 1;
    return token;
  }

  #wrong(token: Token | undefined = this.#peek()): Error {
    return odataError(`Syntax error at position ${token?.position ?? this.#text.length} in '${this.#text}'.`);
  }
}

function literalValue(token: Token): Value | undefined {
  if (token.type === 'string') return token.text.slice(1, -1).replaceAll("''", "'");
  if (token.type === 'number') return Number(token.text);
  if (token.type === 'guid') return token.text.toLowerCase();
  if (token.type === 'datetime') return Number.isNaN(Date.parse(token.text)) ? undefined : token.text;
  if (token.type !== 'word') return undefined;
  return new Map<string, Value>([
    ['true', true],
    ['false', false],
    ['null', null],
  ]).get(token.text);
}

/** The type of a column that may be asked for. Hidden columns are no part of the service's metadata, so they are unknown like any other. */
export function columnType(name: string): string {
  const column = columnNamed(name);
  if (column?.read !== true) throw odataError(`Could not find a property named '${name}' on type 'Microsoft.Dynamics.CRM.systemuser'.`);
  return column.type;
}

function edm(type: string): string {
  const names = { string: 'Edm.String', guid: 'Edm.Guid', boolean: 'Edm.Boolean', integer: 'Edm.Int32', datetime: 'Edm.DateTimeOffset' };
  return new Map(Object.entries(names)).get(type) ?? type;
}

function isComparison(text: string): text is Comparison {
  return COMPARISONS.has(text);
}

function isFunction(text: string): text is TextFunction {
  return FUNCTIONS.has(text);
}
