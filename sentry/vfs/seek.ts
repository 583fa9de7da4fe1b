/**
 * lseek(2) on files with a size: the new position, or -errno. SEEK_DATA and SEEK_HOLE here are the ones of a file without holes; file systems
 * that know their holes answer those two themselves.
 */
import { EINVAL, ENXIO } from '#sentry/abi/errno.ts';
import { SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from '#sentry/abi/fs.ts';

export function seekTo(offset: number, whence: number, position: number, size: number): number {
  let to: number;
  switch (whence) {
    case SEEK_SET:
      to = offset;
      break;
    case SEEK_CUR:
      to = position + offset;
      break;
    case SEEK_END:
      to = size + offset;
      break;
    case SEEK_DATA:
      return offset < 0 || offset >= size ? -ENXIO : offset;
    case SEEK_HOLE:
      return offset < 0 || offset >= size ? -ENXIO : size;
    default:
      return -EINVAL;
  }
  return to < 0 || to > Number.MAX_SAFE_INTEGER ? -EINVAL : to;
}
