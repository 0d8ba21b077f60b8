"""Jobs on FireWorks: submitting them, running them, and mending what dead workers leave."""
