import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { printable } from '../../src/runtime/printable.ts';

const ESC = String.fromCharCode(27);

describe('text for a terminal', () => {
  it.each([
    ['a plain name', 'CORP\\alee (Alex Lee)', 'CORP\\alee (Alex Lee)'],
    ['letters of any script', 'Żółć 田中 שלום 😀', 'Żółć 田中 שלום 😀'],
    ['a line of its own', 'x\nERROR: all is lost', 'x\\u000aERROR: all is lost'],
    ['a command to the terminal', `${ESC}[2Jx\u009b1m`, '\\u001b[2Jx\\u009b1m'],
    ['another direction', 'gnp.\u202eexe', 'gnp.\\u202eexe'],
    ['a line separator', 'a\u2028b', 'a\\u2028b'],
  ])('shows %s', (_, text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it('is what the log for people is made of', () => {
    const logger = fileURLToPath(new URL('../../src/runtime/logger.ts', import.meta.url));
    const script = `import { createLogger } from ${JSON.stringify(logger)};
      createLogger({ level: 'info', format: 'pretty' }).info({ name: 'x' }, 'renamed ' + String.fromCharCode(27) + '[2J' + String.fromCharCode(10) + 'ERROR: y');`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(stdout).toContain('renamed \\u001b[2J\\u000aERROR: y');
    expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  });
});
