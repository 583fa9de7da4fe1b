/** The platform suite on seccomp. */
import { platformSuite } from '../../test/platform/platform-suite.ts';
import { createHost } from '../host/host.ts';
import { createSeccompPlatform } from './platform.ts';

platformSuite('seccomp', () => {
  const host = createHost({ debugLog: (line) => process.stderr.write(`${line}\n`) });
  return { host, platform: createSeccompPlatform(host) };
});
