/** Versions of the OCI runtime specification: a configuration may be of any from the first to the newest. */
export const OCI_VERSION_MIN = '1.0.0';
export const OCI_VERSION = '1.2.1';
