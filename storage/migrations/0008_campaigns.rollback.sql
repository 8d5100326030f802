DROP TABLE campaign_logs;

DROP TABLE campaigns;
