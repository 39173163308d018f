/* SPDX-License-Identifier: MIT
 *
 * The lock of a state directory: one moongate at a time, because a second one could bind the first one's ports
 * unnoticed (SO_REUSEPORT). The kernel drops it with the process, however that ends. */
#pragma once

#include "core/error.h"

struct instance_lock {
  int fd; /* -1: not held */
};

/* Makes `directory` (with mode 0700, and what leads to it) where it is missing, and takes `<directory>/lock`, which
 * then holds our process id. -EBUSY when another process has it: `error` names the file and that process. 0 or a
 * negative errno; then nothing is held. */
int instance_lock_take(struct instance_lock *lock, const char *directory, struct error *error);

/* Nothing when it is not held. The file stays: removing it would let two processes hold two files of this name. */
void instance_lock_release(struct instance_lock *lock);
