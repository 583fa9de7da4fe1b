/** Names of the machine: uts_namespaces(7). */
export class UtsNamespace {
  nodename: string;
  domainname: string;

  constructor(nodename: string, domainname: string) {
    this.nodename = nodename;
    this.domainname = domainname;
  }

  fork(): UtsNamespace {
    return new UtsNamespace(this.nodename, this.domainname);
  }
}
