"""What people look at: charts, statistics and the page of `pcdarts report`."""
