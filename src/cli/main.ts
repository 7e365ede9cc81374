#!/usr/bin/env node
import { keepHeapSmall } from '../runtime/heap.ts';

// Before anything else is loaded, since that alone makes the heap grow.
keepHeapSmall();
const { main } = await import('./program.ts');
process.exit(await main(process.argv.slice(2)));
