/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a route file that is to be put: run in a user state, checked by the schema, compiled, and forgotten. It
 * ends within its limits, and says what is wrong or has a table. What runs may open files: the thread that runs it
 * can't write, make or remove any. */
#include "core/clock.h"
#include "loading/load.h"
#include "loading/load_private.h"
#include "lua_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct route_file_fuzz {
  struct clock clock;
  struct log log;
  struct loader *loader;
  struct config config;
  pthread_t thread;
  sem_t given, done;
  const uint8_t *bytes;
  size_t size;
};

static void check(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "fuzz_route_file: %s\n", what);
  abort();
}

static void forbid(scmp_filter_ctx filter, int call) {
  check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0) == 0, "no filter");
}

/* For this thread alone: the fuzzer's own writes its corpus. */
static void forbid_writing(void) {
  static const int calls[] = {
      SCMP_SYS(creat),     SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename),  SCMP_SYS(renameat),
      SCMP_SYS(renameat2), SCMP_SYS(mkdir),  SCMP_SYS(mkdirat),  SCMP_SYS(rmdir),   SCMP_SYS(truncate),
      SCMP_SYS(link),      SCMP_SYS(linkat), SCMP_SYS(symlink),  SCMP_SYS(socket),  SCMP_SYS(execve),
      SCMP_SYS(fork),      SCMP_SYS(vfork),  SCMP_SYS(kill),     SCMP_SYS(connect), SCMP_SYS(openat2),
  };
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  check(filter != NULL, "no filter");
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
    forbid(filter, calls[i]);
  static const int flags[] = {O_WRONLY, O_RDWR, O_CREAT};
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
    const struct scmp_arg_cmp at = SCMP_A2(SCMP_CMP_MASKED_EQ, (scmp_datum_t)flags[i], (scmp_datum_t)flags[i]);
    const struct scmp_arg_cmp plain = SCMP_A1(SCMP_CMP_MASKED_EQ, (scmp_datum_t)flags[i], (scmp_datum_t)flags[i]);
    check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1, at) == 0 &&
              seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(open), 1, plain) == 0,
          "no filter");
  }
  check(seccomp_load(filter) == 0, "no filter");
  seccomp_release(filter);
}

/* A config with small limits, and no routes beside. */
static void make_loader(struct route_file_fuzz *fuzz) {
  static const char text[] =
      "return { routes = '/nonexistent', limits = { script_time = '50ms', script_memory = '16m' }, "
      "defaults = { timeouts = { idle = '1m' } } }";
  char path[] = "/tmp/moongate-fuzz-XXXXXX.lua";
  struct error error = {0};
  struct fault_list faults = {0};
  int fd = mkstemps(path, 4);
  check(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1, "no config");
  close(fd);
  log_init(&fuzz->log, &fuzz->clock, STDERR_FILENO);
  fuzz->log.level = LOG_OFF;
  fuzz->loader = loader_new(&fuzz->log, "lua", &error);
  check(fuzz->loader != NULL, error.message);
  const struct config_overrides overrides = {.config = path};
  int status = loader_read_config(fuzz->loader, &overrides, &fuzz->config, &faults);
  unlink(path);
  check(status == 0, faults.count > 0 ? faults.faults[0].message : "no config");
  fault_list_clear(&faults);
  lua_lines_watch(fuzz->loader->trusted->L);
}

static void check_faults(const struct fault_list *faults) {
  for (size_t i = 0; i < faults->count; i++) {
    char text[1024];
    fault_format(&faults->faults[i], text, sizeof text);
    check(faults->faults[i].message[0] != '\0' && strlen(text) < sizeof text && faults->faults[i].line >= 0,
          "a fault that says nothing");
  }
}

static void check_candidate(struct route_file_fuzz *fuzz) {
  struct fault_list faults = {0};
  struct route_table *table = NULL;
  int status = loader_check_candidate(fuzz->loader, &fuzz->config, "fuzz.lua", (const char *)fuzz->bytes, fuzz->size,
                                      &faults, &table);
  check(status == 0 || status == -EINVAL || status == -ENOMEM, "a status that nobody knows");
  check((status == -EINVAL) == (faults.count > 0), "refused without a fault, or taken with one");
  check_faults(&faults);
  if (status == 0) {
    check(table != NULL, "no table");
    for (size_t i = 0; i < table->port_count; i++)
      check(table->ports[i].route_count > 0, "a port without a route");
    route_table_unref(table);
  }
  fault_list_clear(&faults);
}

static void *run_thread(void *context) {
  struct route_file_fuzz *fuzz = context;
  make_loader(fuzz);
  forbid_writing();
  for (;;) {
    while (sem_wait(&fuzz->given) != 0)
      ;
    check_candidate(fuzz);
    sem_post(&fuzz->done);
  }
  return NULL;
}

/* What cjson keeps for its state hangs in Lua's memory, where the sanitizer does not look. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

const char *__lsan_default_suppressions(void) { return "leak:strbuf_init\n"; }

const char *__lsan_default_options(void) { return "print_suppressions=0"; }

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static struct route_file_fuzz fuzz;
  if (!fuzz.thread) {
    sem_init(&fuzz.given, 0, 0);
    sem_init(&fuzz.done, 0, 0);
    check(pthread_create(&fuzz.thread, NULL, run_thread, &fuzz) == 0, "no thread");
  }
  fuzz.bytes = bytes;
  fuzz.size = size;
  sem_post(&fuzz.given);
  while (sem_wait(&fuzz.done) != 0)
    ;
  return 0;
}
