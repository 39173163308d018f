/* SPDX-License-Identifier: MIT
 *
 * Answers the questions of scripts (script/commons.h) with snapshots of all workers. */
#pragma once

struct runtime;

/* From now on, until measure_stop(): the instance has its loader and its snapshots. */
void measure_start(struct runtime *runtime);

/* Questions that are under way are dropped, since those who asked have ended. Before the workers are released. Nothing
 * when it was not started. */
void measure_stop(struct runtime *runtime);
