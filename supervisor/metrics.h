/* metrics.h - what can be counted, as a monitoring system reads it (Prometheus' text format 0.0.4). */
#ifndef LW_SUPERVISOR_METRICS_H
#define LW_SUPERVISOR_METRICS_H

#include "app.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_print(struct app *app, struct lw_buf *out);

#endif
