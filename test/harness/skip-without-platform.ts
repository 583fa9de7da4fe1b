/** Set-up of each test file of a platform: skips its tests where the platform is missing (see platform-under-test.ts). */
import { beforeEach, inject } from 'vitest';

const missing = inject('platformMissing');

if (missing !== '') beforeEach((context) => context.skip(missing));
