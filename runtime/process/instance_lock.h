/* SPDX-License-Identifier: MIT
 *
 * The lock of a state directory: one moongate at a time, because a second one could bind the first one's ports
 * unnoticed (SO_REUSEPORT). The kernel drops it with the process, however that ends. */
#pragma once

#include "core/error.h"
#include "process/privileges.h"

struct instance_lock {
  int fd; /* -1: not held */
};

/* Opens `directory` (state_directory_open(), which makes it) and takes the file `lock` in it, which then holds our
 * process id; it is the account's then (NULL: of nobody else). -EBUSY when another process has it: `error` names the
 * file and that process. 0 or a negative errno; then nothing is held. */
int instance_lock_take(struct instance_lock *lock, const char *directory, const struct account *account,
                       struct error *error);

/* Nothing when it is not held. The file stays: removing it would let two processes hold two files of this name. */
void instance_lock_release(struct instance_lock *lock);
