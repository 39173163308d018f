/* SPDX-License-Identifier: MIT
 *
 * The stages of an instance's life, which share its files: instance.c begins and ends it. */
#pragma once

#include "control/instance.h"

/* instance_config.c: the config, the log's settings, the lock, the routes. 0 or -1, having said why. */
int instance_load(struct instance *instance, const struct native_settings *settings);

/* instance_ports.c: probes the table's ports, opens the admin listeners. 0 or -1, having said why. */
int instance_open(struct instance *instance);

/* instance_ports.c: a log line for each route, and the one that says that all is ready. */
void instance_announce(const struct instance *instance);
