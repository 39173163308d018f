/* SPDX-License-Identifier: MIT
 *
 * Limits of descriptors, and looking for a free one. */
#include "core/descriptors.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { KEPT_MOST = 64, KEPT_SHARE = 8 };

void descriptors_raise_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int descriptors_for_traffic(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX)
    return 0;
  rlim_t kept = limit.rlim_cur / KEPT_SHARE;
  return (int)(limit.rlim_cur - (kept < KEPT_MOST ? kept : KEPT_MOST));
}

int descriptors_probe(void) {
  int most = descriptors_for_traffic(), fd = eventfd(0, EFD_CLOEXEC);
  if (fd < 0)
    return errno == ENFILE ? -ENFILE : -EMFILE;
  close(fd);
  return most > 0 && fd >= most ? -EMFILE : 0;
}
