/** A line of /proc/PID/uid_map or gid_map (user_namespaces(7)): `size` users or groups from `containerID` inside are those from `hostID` outside. */
export interface IdRange {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}
