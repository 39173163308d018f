/* SPDX-License-Identifier: MIT
 *
 * The directory of what must survive a restart: it is believed, last good versions in it are run, so nobody else may
 * have a hand in it. */
#pragma once

#include "core/error.h"
#include "process/privileges.h"

/* Makes `directory` (with mode 0700, and what leads to it: 0755, whatever the umask, when there is an account to get
 * there) where it is missing, and opens it. It has to be a directory itself, not a link to one (as root: nor behind a
 * link that is not root's), of ours (or, for root, of the account's) and writable by nobody else; what is in it is
 * given to the account. At the start, before other threads make files. A descriptor, or a negative errno: -EPERM when
 * it is not to be believed, or the account can't get there, and `error` says why and what to do. */
int state_directory_open(const char *directory, const struct account *account, struct error *error);
