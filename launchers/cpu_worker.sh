#!/bin/bash -l
# Takes the short jobs of category cpu one after another, without a queue: on a login node, or
# wherever a process may stay. It ends by SIGTERM, and begins again a minute after an error, such
# as a database that is away.
source /path/to/entropy_flows/.venv/bin/activate
export FW_CONFIG_FILE=/path/to/launchers/FW_config.yaml
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1
export ENTROPY_FLOWS_DEVICE=cpu
trap 'kill $worker 2> /dev/null; wait; exit' TERM INT
echo "cpu worker $$ on $(hostname): kill $$ ends it"
while true; do
  nice -n 10 rlaunch -l /path/to/launchers/my_launchpad.yaml -w /path/to/launchers/my_fworker_cpu.yaml rapidfire --nlaunches infinite --sleep 30 &
  worker=$!
  wait $worker
  sleep 60 &
  worker=$!
  wait $worker
done
