"""Templates of the launcher files, in jinja, which `entropy_flows.launch.launchers` fills in.

No file holds a URI: the names ENTROPY_FLOWS_URI and ENTROPY_FLOWS_DATABASE in them stand for this
machine's settings.
"""

LAUNCHPAD = """\
# FireWorks' launchpad. The two names stand for the settings of the machine that it is read on, in
# the environment or in ~/.entropy_flows.yaml. FW_config.yaml has FireWorks put these in their
# place. No password belongs in this file.
host: ENTROPY_FLOWS_URI
name: ENTROPY_FLOWS_DATABASE
uri_mode: true
logdir: null
strm_lvl: INFO
"""

JOBFLOW = """\
# The campaign's outputs for programs of your own that use jobflow. The campaign's jobs do without
# this file.
# export JOBFLOW_CONFIG_FILE={{ folder }}/jobflow.yaml
JOB_STORE:
  "@module": entropy_flows.store.connection
  "@class": ConfiguredJobStore
"""

FW_CONFIG = """\
# FireWorks' settings. An FW_config.yaml in the working folder or in ~/.fireworks is taken instead
# of this one.
# export FW_CONFIG_FILE={{ folder }}/FW_config.yaml
MongoClient:   # puts the settings of the machine in the place of the names in my_launchpad.yaml
  "@module": entropy_flows.store.connection
  "@callable": ConfiguredClient
PING_TIME_SECS: {{ ping }}   # seconds between two signs of life of a job
RUN_EXPIRATION_SECS: {{ 10 * ping }}   # without one for so long a job is lost
WFLOCK_EXPIRATION_SECS: 60   # seconds a worker waits for a workflow that another one writes
RESERVATION_EXPIRATION_SECS: 1209600   # two weeks in the queue
RAPIDFIRE_SLEEP_SECS: {{ cluster.sleep }}
QUEUE_UPDATE_INTERVAL: 1   # seconds between two submissions
SORT_FWS: FIFO
"""

FWORKER = """\
# Takes the jobs of category {{ category }}: {{ stages }}.
name: {{ category }} worker
category: {{ category }}
query: '{}'
"""

QADAPTER = """\
{% if pull -%}
# A queue job that takes one {{ category }} job after another: `qlaunch rapidfire`. It begins none
# after {{ timeout }} s, so that one of {{ longest }} still ends in time.
{%- if category == "cpu" %} It stays until then, or
# until nothing is left to do.
{%- else %} It ends after {{ loops }}
# looks for work in vain.
{%- endif %}
{% else -%}
# One queue job for each {{ category }} job: `qlaunch -r rapidfire`.
{% endif -%}
# exec: the worker is the batch process itself and gets the queue's SIGTERM, {{ cluster.lead }} s
# before the end.
_fw_name: CommonAdapter
{% if pbs -%}
_fw_q_type: PBS
_fw_template_file: {{ folder }}/PBS_template.txt
rocket_launch: exec {{ timeout_command }} {{ rlaunch }}
select: {{ select }}
{% else -%}
_fw_q_type: SLURM
rocket_launch: exec {{ rlaunch }}
signal: B:TERM@{{ cluster.lead }}
nodes: {{ queue.nodes }}
ntasks: {{ queue.ntasks }}
cpus_per_task: {{ queue.cpus_per_task }}
mem: {{ queue.mem | tojson }}
gres: {{ queue.gres | tojson }}
qos: {{ queue.qos | tojson }}
constraint: {{ queue.constraint | tojson }}
{% endif -%}
walltime: '{{ walltime }}'
queue: {{ queue.partition | tojson }}
account: {{ cluster.account | tojson }}
job_name: ef-{{ category }}
pre_rocket: |
{%- for line in preparation %}
  {{ line }}
{%- endfor %}
post_rocket: null
logdir: null
"""

CPU_WORKER = """\
#!/bin/bash -l
# Takes the short jobs of category cpu one after another, without a queue: on a login node, or
# wherever a process may stay. It ends by SIGTERM, and begins again a minute after an error, such
# as a database that is away.
{%- for line in preparation %}
{{ line }}
{%- endfor %}
trap 'kill $worker 2> /dev/null; wait; exit' TERM INT
echo "cpu worker $$ on $(hostname): kill $$ ends it"
while true; do
  nice -n 10 rlaunch {{ files }} rapidfire --nlaunches infinite --sleep {{ cluster.sleep }} &
  worker=$!
  wait $worker
  sleep 60 &
  worker=$!
  wait $worker
done
"""

PBS_TEMPLATE = """\
#!/bin/bash -l
#PBS -S /bin/bash
#PBS -l select=$${select}
#PBS -l walltime=$${walltime}
#PBS -q $${queue}
#PBS -A $${account}
#PBS -N $${job_name}
#PBS -j oe

$${pre_rocket}
cd $${launch_dir}
$${rocket_launch}
"""

README = """\
# Launchers

Files for running campaigns in the queues of a {{ 'PBS' if pbs else 'SLURM' }} cluster, written by

    {{ command }}

after `make install`, or `pip install .` in an environment of your own, in a clone of entropy_flows
on a disk that all nodes share. `entropy-flows launchers --help` lists what can be filled in;
`--overwrite` writes the files anew.

## Before the first campaign

The database and the cache, in `~/.entropy_flows.yaml` (`chmod 600`), where new shells, cron and
queue jobs find them:

```yaml
uri: mongodb://…                # user and password included
cache: /shared/entropy_flows   # models and checkpoints, on a disk that all nodes share
```

```bash
# for `lpad`, and `check`; the qlaunch lines below bring it
export FW_CONFIG_FILE={{ folder }}/FW_config.yaml
entropy-flows check campaign.yaml --launchers {{ folder }}
```

`check` reads each file as FireWorks and jobflow will, and tries the database. ENTROPY_FLOWS_URI
and ENTROPY_FLOWS_CACHE in the environment go before the file.

{% if pbs -%}
The queue files (`my_qadapter_*.yaml`) and PBS_template.txt are yours to edit: a key of the former
fills the place of its name in the latter.
{%- else -%}
The queue files (`my_qadapter_*.yaml`) are yours to edit: what no option is for is a further line
in them, such as `exclude_nodes: n17`. The keys are those of FireWorks' SLURM_template.txt.
{%- endif %}

## VASP

Where VASP makes the labels, two files of your home tell atomate2 how to start it, and pymatgen
where its POTCARs are:

```yaml
# ~/.atomate2.yaml
VASP_CMD: {{ 'mpirun' if pbs else 'srun' }} vasp_std
VASP_GAMMA_CMD: {{ 'mpirun' if pbs else 'srun' }} vasp_gam
```

```yaml
# ~/.pmgrc.yaml
PMG_VASP_PSP_DIR: /path/to/potcars   # the folder of POT_GGA_PAW_PBE_54 and its like
```

Without `{{ 'mpirun' if pbs else 'srun' }}` there VASP is one process, however many cores the queue
job has. `--ntasks-dft 64` gives a label's queue job 64 MPI ranks, `--module-dft vasp/6.4` loads
VASP in these jobs alone. `check` warns of one rank, of a command without `{{ 'mpirun' if pbs else
'srun' }}` and of POTCARs that are not there.

## Running a campaign

```bash
entropy-flows submit campaign.yaml
mkdir -p launches && cd launches   # each job gets a folder in this one, on a shared disk
{{ loop_of.gpu }}
{{ loop_of.dft }}
nohup {{ cpu_worker }} > cpu_worker.log 2>&1 &
entropy-flows status ../campaign.yaml
```

Each loop submits the jobs of one category as they become ready, and keeps at most {{
cluster.max_jobs }} in the queue; end it when the campaign is done. `rapidfire` without `-d 60`
ends when nothing is left to do, `singleshot` submits one job.

| category | stages | {{ 'queue' if pbs else 'partition' }} | walltime |
| --- | --- | --- | --- |
{% for category, queue in queues.items() -%}
| {{ category }} | {{ stages[category] }} | {{ queue.partition }} | {{ queue.walltime }} |
{% endfor %}
A campaign file may send a stage elsewhere, `categories: {train: dft}`, and give a stage's jobs
another queue setting, `queue: {train: {walltime: "48:00:00"}}` (with `-r` only). The keys of
`queue` are those of the qadapter files.

A further category, for `categories: {train: big_gpu}`, is a copy of two files, and a fourth
`qlaunch` with them:

```bash
cd {{ folder }}
sed 's/category: gpu/category: big_gpu/' my_fworker_gpu.yaml > my_fworker_big_gpu.yaml
# edit the queue in the second file, …
sed 's/my_fworker_gpu/my_fworker_big_gpu/' my_qadapter_gpu.yaml > my_qadapter_big_gpu.yaml
```

## The short jobs

An iteration has half a dozen jobs of category cpu, one after the other, with dynamics, labels and
training in between. Each takes seconds to minutes on one core. In the queue each would wait by
itself. Choose one of three ways:

- **On a login node**, as above. `cpu_worker.sh` takes them where it is started, at low priority
  and with one thread. It stays when you log out. Its log says how to end it. If the node is
  restarted, `entropy-flows repair` puts the job back that it had; start it again.
- **One queue job that stays**, where login nodes are not for this. It takes all of them until its
  walltime is over, and ends when nothing is left to do:

      {{ resident }}

- **A queue job for each**, where the queue is short:

      {{ loop_of.cpu }}

A stage that is too heavy for the first way goes elsewhere: `categories: {evaluate: gpu}` in the
campaign file.

## One queue job for each job, or for many

- `qlaunch -r` with `my_qadapter_gpu.yaml` reserves a job and submits a queue job for it alone. No
  node is held while there is nothing to do, and the queue shows what runs. Begin with this.
- `qlaunch` without `-r` and with `my_qadapter_gpu_pull.yaml` submits queue jobs that take one job
  after another. Better where jobs take minutes and the queue takes hours. Such a queue job begins
  nothing new when {{ longest }} is left (`--longest-job`), and ends after {{ loops }} looks for
  work in vain, {{ cluster.sleep }} s apart; one of category cpu stays. How many jobs it will do is
  not known beforehand: submit no more of them than can be busy (`-m`).

The two can be mixed, also within a category.

## When the time is up

{% if pbs -%}
The script runs the worker under `timeout`, which sends SIGTERM {{ cluster.lead }} s before the
walltime is over. `qdel` and preemption send SIGTERM too, and SIGKILL after the server's
`kill_delay` (10 s unless the site sets it).
{%- else -%}
SLURM sends SIGTERM to the batch process {{ cluster.lead }} s before the walltime is over, or up to
a minute earlier (`signal`). `exec` makes the worker that process; a shell in between would wait
for the worker to end. `scancel` and preemption send SIGTERM too, and SIGKILL after the site's
KillWait (30 s unless the site sets it).
{%- endif %}
The worker then saves its exploration or training, puts the job back and ends; the next queue job
goes on from there.

If a worker was killed without notice, a node broke down or the database was away for long, run
`entropy-flows repair campaign.yaml`; it is safe while workers run. A job without a sign of life
for {{ 10 * ping }} s counts as lost: ten times `ENTROPY_FLOWS_HEARTBEAT`, or RUN_EXPIRATION_SECS
in FW_config.yaml for `lpad detect_lostruns`. From cron, which has neither your PATH nor your
exports (`crontab -e`):

    */10 * * * * cd /path/to/campaign && /path/to/entropy-flows repair campaign.yaml >> log 2>&1

## Passwords

No file here holds one. my_launchpad.yaml names ENTROPY_FLOWS_URI, and FW_config.yaml has FireWorks
put the setting of the machine in its place.
{%- if pbs %}
PBS jobs do not inherit your shell's environment: `qsub -V` would store it where `qstat -f` shows
it. They need `~/.entropy_flows.yaml`.
{%- else %}
SLURM jobs inherit the environment of the shell that runs `qlaunch`, unless the site forbids it:
where it does they need `~/.entropy_flows.yaml`.
{%- endif %}

FireWorks' own commands work in the same way: `lpad -l {{ folder }}/my_launchpad.yaml get_wflows`.
A complaint that the host ENTROPY_FLOWS_URI is not known means that FW_CONFIG_FILE is not set, or
that an FW_config.yaml in the working folder or in `~/.fireworks` was taken instead. If you need
the latter for other work, copy the lines of this one into it: FireWorks reads one file only, and
that one first.

## What was tested

{% if pbs -%}
No file here has been in a PBS queue yet. FireWorks makes the scripts, and they were run without
PBS: `timeout` sends SIGTERM to the worker. `select` and how your site counts GPUs may need a
change.
{%- else -%}
`make test-slurm` starts a SLURM of its own on one machine and runs a campaign through files like
these, with `qlaunch -r` and without: every job in the partition of its category, SIGTERM at the
worker with `scancel` and before the walltime is over. GPUs were only counted.
{%- endif %}
"""
