/** What cannot be done about a container's cgroup, for the person or client that asked for it. */
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE } from '../errors.ts';

export class CgroupError extends UserError {
  constructor(message: string) {
    super(message, EXIT_OCI_FAILURE);
  }
}
