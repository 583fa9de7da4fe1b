/**
 * Containers that share a network: `podman run --network container:NAME` and podman's pods name the namespace of another container's process,
 * /proc/PID/ns/net. Where that process is a sentry of ours, the network is inside it, and so the new container has to be.
 */
import { isAlive } from '../state/process-identity.ts';
import { ContainerDirectory } from '../state/container-directory.ts';

/** The id of the container whose sandbox runs the one that `text`, a config.json, describes; null: it names none. Whether the text is valid is not looked at. */
export function sandboxOfNetwork(root: string, text: string): string | null {
  // What matters is rare, and this is cheaper than a second parse.
  const path = /\/proc\/(\d+)\/ns\/net\b/.exec(text);
  if (path === null || networkPath(text) !== path[0]) return null;
  const pid = Number(path[1]);
  for (const id of ContainerDirectory.list(root)) {
    const record = new ContainerDirectory(root, id).read();
    if (record?.process.pid === pid && isAlive(record.process)) return record.sandbox;
  }
  return null;
}

function networkPath(text: string): unknown {
  try {
    const { linux } = JSON.parse(text) as { linux?: { namespaces?: { type?: unknown; path?: unknown }[] } };
    return linux?.namespaces?.find(({ type }) => type === 'network')?.path;
  } catch {
    return undefined;
  }
}
