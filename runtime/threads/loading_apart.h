/* SPDX-License-Identifier: MIT
 *
 * Loading that is no reload: at the start, to check, in a spec, mostly while the caller waits. The files are run on the
 * loader thread all the same, so that one which does not come back is at fault, and nothing more. */
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

/* The same while the loop of `loading` runs, for loaded_routes_number() to give the numbers: `loaded` is filled, and
 * on_loaded told what loading_load_routes() would have returned, in a later event, unless the loading is stopped
 * before. Nothing else is loaded meanwhile. 0, or -ENOMEM, when nothing follows. */
int loading_begin_routes(struct loading *loading, const struct config *config, unsigned workers,
                         struct loaded_routes *loaded, void (*on_loaded)(void *context, int status), void *context);
