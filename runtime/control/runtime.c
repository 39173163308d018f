/* SPDX-License-Identifier: MIT
 *
 * Making the control thread's loop and its Lua, and running the command line on them. */
#include "control/control.h"

#include "admin/admin.h"
#include "control/operations.h"
#include "control/testing.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  COPY_BUFFER_SIZE = 16 * 1024,
  PRINT_PATIENCE_MS = 20, /* in a second, so that more than a pipe holds can be printed at once to who does read */
};

static int init_host(struct runtime *runtime, struct error *error) {
  struct script_place place = {
      .loop = &runtime->loop, .dialer = &runtime->dialer, .pipes = &runtime->pipes, .log = &runtime->log};
  struct script_options options = {.trusted = true, .library = runtime->library, .log = &runtime->log};
  runtime->natives = (struct native_module){.ops = &operations, .testing = &testing_operations, .context = runtime};
  return native_host_init(&runtime->host, &place, &options, &runtime->natives, error);
}

int runtime_init(struct runtime *runtime, const char *library, struct error *error) {
  *runtime = (struct runtime){.library = library};
  list_init(&runtime->tests);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a file that may not grow (ulimit -f) is EFBIG for who writes it, and no end */
  log_init(&runtime->log, &runtime->clock, STDERR_FILENO);
  printer_init(&runtime->printers[0], STDOUT_FILENO, PRINT_PATIENCE_MS);
  printer_init(&runtime->printers[1], STDERR_FILENO, PRINT_PATIENCE_MS);
  int status = loop_init(&runtime->loop, &runtime->clock, runtime);
  if (status)
    return error_set(error, -status, "the event loop can't be made: %s", strerror(-status));
  runtime->pipes =
      (struct flow_shared){.loop = &runtime->loop, .bytes = malloc(COPY_BUFFER_SIZE), .size = COPY_BUFFER_SIZE};
  status = error_set(error, ENOMEM, "no memory to start");
  if (!runtime->pipes.bytes)
    goto fail;
  status = -EINVAL;
  runtime->resolver = resolver_new(&runtime->loop, NULL, error);
  if (!runtime->resolver)
    goto fail;
  dialer_init(&runtime->dialer, &runtime->loop, runtime->resolver, &(struct tcp_options){.no_delay = true});
  status = init_host(runtime, error);
  if (status)
    goto fail;
  return 0;

fail:
  resolver_free(runtime->resolver);
  free(runtime->pipes.bytes);
  loop_deinit(&runtime->loop);
  return status;
}

void runtime_deinit(struct runtime *runtime) {
  testing_deinit(runtime);
  script_host_deinit(&runtime->host);
  for (size_t i = 0; i < 2; i++)
    admin_free(runtime->admins[i]);
  resolver_free(runtime->resolver);
  loop_deinit(&runtime->loop);
  free(runtime->pipes.bytes);
  printer_deinit(&runtime->printers[0], STDOUT_FILENO);
  printer_deinit(&runtime->printers[1], STDERR_FILENO);
  printer_deinit(&runtime->log.printer, STDERR_FILENO);
}

/* An error of ours, with its traceback. */
static void complain_lines(const char *message) {
  for (const char *line = message; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
    error_complain("%.*s", (int)strcspn(line, "\n"), line);
}

static void on_main_ended(struct native_task *task, int status, const char *message) {
  struct runtime *runtime = (struct runtime *)(void *)((char *)task - offsetof(struct runtime, main));
  complain_lines(message);
  runtime->status = status < 0 ? 1 : status;
  loop_stop(&runtime->loop);
}

int runtime_main(struct runtime *runtime, size_t count, char *const *words) {
  struct error error;
  runtime->main.on_ended = on_main_ended;
  if (native_start_words(&runtime->host, &runtime->main, "moongate.cli", "main", count, words, &error) != 0) {
    error_complain("the command line can't be run: %s", error.message);
    return 1;
  }
  loop_run(&runtime->loop);
  return runtime->status;
}
