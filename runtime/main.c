/* SPDX-License-Identifier: MIT
 *
 * The program: makes the runtime, has it run the command line, and takes it down again. */
#include "control/control.h"
#include "core/stack.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A standard descriptor that we were started without would be the number of the next file that is opened, a signal pipe
 * or a client, and what is meant for people would be written there. Its place is held by what can be neither read nor
 * written. */
static void hold_standard_descriptors(void) {
  int fd;
  do
    fd = open("/", O_PATH);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close(fd);
}

/* What was asked for has not come, or not all of it. Nobody is told who has stopped reading, as `head` does. */
static int judge_output(int status) {
  struct pollfd output = {.fd = STDOUT_FILENO};
  if (fflush(stdout) == 0 && !ferror(stdout))
    return status;
  if (poll(&output, 1, 0) <= 0 || !(output.revents & POLLERR))
    error_complain("the standard output can't be written: what is there is not all");
  return status ? status : 1;
}

/* Beside a thread that hangs, and may hold the lock of a file that exit() would write out. */
static void leave(int status) { _exit(ftrylockfile(stdout) == 0 ? judge_output(status) : status); }

int main(int argc, char **argv) {
  struct runtime runtime;
  struct error error;
  stack_widen();
  hold_standard_descriptors();
  setvbuf(stdout, NULL, _IOLBF, 0); /* what routes print is seen at once, also through a pipe */
  const char *library = secure_getenv("MOONGATE_LUA");
  if (library)
    error_complain("MOONGATE_LUA is set: its own library is read from %s, and not from the binary", library);
  if (runtime_init(&runtime, library, &error) != 0) {
    error_complain("%s", error.message);
    return 1;
  }
  int status = runtime_main(&runtime, argc > 0 ? (size_t)(argc - 1) : 0, argv + (argc > 0));
  if (runtime.left_behind)
    leave(status);
  status = judge_output(status);
  runtime_deinit(&runtime);
  return status;
}
