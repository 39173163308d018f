/* SPDX-License-Identifier: MIT
 *
 * The whole of moongate in one structure, the control thread's: its loop, the Lua that the command line and the admin
 * interface run in, and, while `moongate run` lasts, the instance that carries traffic. */
#pragma once

#include "core/clock.h"
#include "core/error.h"
#include "core/list.h"
#include "core/log.h"
#include "core/loop.h"
#include "dial/dial.h"
#include "native/host.h"
#include "native/native.h"
#include "net/pipe.h"

#include <stdbool.h>

struct admin;
struct instance;
struct plane;

struct runtime {
  struct clock clock;
  struct log log;
  struct printer printers[2]; /* that scripts print to while an instance runs: standard output and standard error */
  struct loop loop;
  struct resolver *resolver; /* of the control thread's own connections, as the next two */
  struct dialer dialer;
  struct flow_shared pipes;
  const char *library; /* see script_options */
  struct native_module natives;
  struct script_host host;
  struct native_task main;
  int status;                /* what main has returned */
  struct instance *instance; /* NULL: nothing runs */
  struct instance *starting; /* what is going to run, while its routes are loaded; NULL: nothing */
  struct plane *plane;       /* of the instance, which ends it; freed by who made it. NULL: this build has none */
  struct admin *admins[2];   /* of the instance that has ended: connections that its admin interface still serves */
  bool measuring;            /* control/measure.c: questions of workers are answered */
  bool has_run;
  bool left_behind; /* a loader thread: the process ends by _exit(), for it may use what exit() takes down */
  struct native_task watching, diagnosing; /* reports/diagnose.c; here because they may outlast the instance */
  bool is_diagnosing;
  bool to_diagnose;       /* a snapshot comes after the one that is being made */
  struct list_node tests; /* testing.c: the moongates of specs */
  unsigned last_test;
};
