/* SPDX-License-Identifier: MIT
 *
 * Loading while the caller waits: at the start, to check, in a spec. The files are run on the loader thread all the
 * same, so that one which does not come back is at fault, and nothing more. */
#pragma once

#include "threads/loading.h"

/* loader_read_config(), or with `lenient` loader_read_config_leniently(). A config that does not come back is at fault,
 * and config->routes NULL. */
int loading_read_config(struct loading *loading, const struct config_overrides *overrides, bool lenient,
                        struct config *config, struct fault_list *faults);

/* loader_load_routes(). Begins anew without a file that does not come back; -EBUSY when too many do not: then there are
 * faults, and nothing is loaded. */
int loading_load_routes(struct loading *loading, const struct config *config, unsigned workers,
                        loaded_number_of *number_of, void *context, struct loaded_routes *loaded);
