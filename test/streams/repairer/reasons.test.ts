import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EXPLANATIONS } from '../../../streams/repair-reasons.ts';

test('SPEC.md explains every reason as the commands do', () => {
  const spec = readFileSync('SPEC.md', 'utf8');
  for (const [reason, { meaning, next }] of Object.entries(EXPLANATIONS))
    expect(spec).toContain(`| \`${reason}\` | ${meaning} | ${next} |`);
});
