/* SPDX-License-Identifier: MIT
 *
 * Diagnosing: the task that looks at the workers now and then, the one that makes a snapshot when a signal wants it,
 * and the files under `state`/diagnose. What is looked at, and what it all means, is Lua's (lua/moongate/diagnose.lua).
 * On the control thread. */
#pragma once

#include "core/list.h"
#include "native/native.h"

#include <stdbool.h>
#include <stddef.h>

struct blocking;
struct instance;

struct diagnose {
  struct instance *instance;  /* NULL: not started */
  bool stopped;               /* nothing is kept any more */
  struct list_node waiting;   /* files that are being written */
  struct blocking *keep_lost; /* the thread that was lost in the last of those; NULL: none */
};

/* Zeroed at first. After the workers' threads have begun. */
void diagnose_start(struct instance *instance);

/* Answers who waits for a file. Before the threads end. */
void diagnose_stop(struct diagnose *diagnose);

/* After the threads have ended and the loop's messages are delivered. Nothing when zeroed. */
void diagnose_deinit(struct diagnose *diagnose);

/* A signal wants a snapshot. While another is being made for one, it comes after it. */
void diagnose_begin(struct diagnose *diagnose);

/* See native_ops.keep_diagnosis. */
void diagnose_keep(struct instance *instance, const char *trigger, const char *text, size_t size,
                   struct native_call *call);
