/* SPDX-License-Identifier: MIT
 *
 * The stages of an instance's life, which share its files: instance.c begins and ends it. */
#pragma once

#include "connection/port_change.h"
#include "control/instance.h"

/* instance_config.c: all routes of the files that are served, and a reference on each version for the table, made as
 * after `before` (route_table_renew()). NULL: see `error`. */
struct route_table *instance_make_table(const struct route_table *before, const struct loaded_routes *loaded,
                                        struct policy *policy, struct error *error);

/* instance.c: of a zeroed record. `log` outlives it. */
void instance_init(struct instance *instance, struct runtime *runtime, const struct log *log);

/* instance.c: the workers, and what belongs to them, with the table; they don't run yet. */
int instance_make_workers(struct instance *instance, struct error *error);

/* drain.c: nothing new; ends the connections after `ms` (0: at once), then all, as instance_stop() does. Of one that is
 * ready. `by`: what has asked for it, for the log. */
void instance_drain(struct instance *instance, uint64_t ms, const char *by);

/* instance.c: ends all at once; in the end instance->call is answered. */
void instance_stop(struct instance *instance);

/* instance.c: when a start has failed, before anything ran. */
void instance_release(struct instance *instance);

/* instance_config.c: names_number() as the loader calls it. */
void instance_number_of(void *context, const char *name, unsigned *number, struct route_shared **shared);

/* instance_config.c: a line for each. */
void instance_log_faults(const struct log *log, enum log_level level, const char *message,
                         const struct fault_list *faults);

/* instance_config.c: a fault of a route file, and what becomes of the file. */
void instance_log_route_fault(const struct log *log, const struct loaded_routes *loaded, const struct fault *fault);

/* instance_config.c: the config, the log's settings, the lock, the control socket; from then on we are the user that
 * the config names. 0 or -1, having said why. */
int instance_load_config(struct instance *instance, const struct native_settings *settings);

/* instance_config.c: the routes, and the table of them. 0 or -1, having said why. */
int instance_load_routes(struct instance *instance, bool strict);

/* instance_ports.c: the port of the table that would be in the way of `admin_listen`, or NULL. */
const struct table_port *instance_find_admin_clash(const struct route_table *table, const char *admin_listen);

/* instance_ports.c: what to say of it. */
void instance_explain_admin_clash(const struct table_port *clash, struct error *error);

/* instance_ports.c: notes the new port that would be in the way of our own admin interface. 0 or -ENOMEM. */
int instance_note_admin_clash(const struct instance *instance, struct port_change *ports);

/* instance_ports.c: the control socket, and whom it belongs to. 0 or -1, having said why. */
int instance_open_control(struct instance *instance);

/* instance_ports.c: probes the table's ports, opens the admin listener. 0 or -1, having said why. */
int instance_open(struct instance *instance);

/* instance_ports.c: a log line for each route, and the one that says that all is ready. */
void instance_announce(const struct instance *instance);
