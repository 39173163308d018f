/* SPDX-License-Identifier: MIT
 *
 * /proc/thread-self/schedstat has both times, in ns. Where there is none (no /proc, a kernel without
 * CONFIG_SCHED_INFO), waiting for a core can't be told from being stopped. */
#include "core/cpu_time.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { NOTE_EACH_NS = 100 * 1000 * 1000 };

static _Thread_local struct { uint64_t at, had; } noted;

uint64_t cpu_time_ran(void) {
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* How long it has run, and has waited to run. */
static uint64_t read_had(void) {
  char text[64];
  uint64_t ran, waited;
  int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return cpu_time_ran();
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  text[size > 0 ? size : 0] = '\0';
  return sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &waited) == 2 ? ran + waited : cpu_time_ran();
}

void cpu_time_note(uint64_t now) {
  if (now - noted.at < NOTE_EACH_NS)
    return;
  noted.at = now;
  noted.had = read_had();
}

uint64_t cpu_time_lost(uint64_t now, uint64_t gap) {
  uint64_t before = noted.had;
  noted.at = now;
  noted.had = read_had();
  uint64_t had = noted.had - before;
  return had < gap ? gap - had : 0;
}
