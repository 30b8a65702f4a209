BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE hpo_clocks (
	study_id INTEGER NOT NULL, 
	busy_ms BIGINT NOT NULL, 
	seen_ms BIGINT NOT NULL, 
	PRIMARY KEY (study_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id) ON DELETE CASCADE
);
INSERT INTO "hpo_clocks" VALUES(1,91,1795629781443);
CREATE TABLE hpo_leases (
	trial_id INTEGER NOT NULL, 
	study_id INTEGER NOT NULL, 
	worker_id VARCHAR(64) NOT NULL, 
	token VARCHAR(32) NOT NULL, 
	beat INTEGER NOT NULL, 
	lease_ms BIGINT NOT NULL, 
	expires_ms BIGINT NOT NULL, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id) ON DELETE CASCADE
);
INSERT INTO "hpo_leases" VALUES(3,1,'here:1','b941b4606fb848b09b2d5281a52aa0b5',2,60000,1795629841417);
CREATE TABLE hpo_version (
	id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hpo_version" VALUES(1,1);
CREATE TABLE hpo_workers (
	worker_id VARCHAR(64) NOT NULL, 
	host VARCHAR(255) NOT NULL, 
	pid INTEGER NOT NULL, 
	device VARCHAR(255) NOT NULL, 
	PRIMARY KEY (worker_id)
);
INSERT INTO "hpo_workers" VALUES('here:1','here',1,'cpu');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'study');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MINIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'hpo:definition','"{\"budget\":{\"n_trials\":5},\"data\":{\"categorical\":[],\"drop\":[],\"fingerprint\":\"f\",\"numeric\":[],\"source\":\"/t.csv\",\"split\":{\"seed\":0,\"test\":0.15,\"val\":0.15},\"target\":\"y\",\"task\":\"regression\"},\"name\":\"study\",\"objective\":{\"metric\":\"rmse\"},\"pruner\":{\"interval_steps\":1,\"n_startup_trials\":5,\"n_warmup_steps\":5,\"name\":\"median\"},\"sampler\":{\"n_startup_trials\":20,\"name\":\"tpe\",\"seed\":0},\"search_space\":{\"model\":{\"depth\":{\"high\":4,\"low\":1,\"type\":\"int\"}},\"optimizer\":{\"learning_rate\":{\"high\":0.1,\"log\":true,\"low\":0.0001,\"type\":\"float\"}}}}"');
INSERT INTO "study_system_attributes" VALUES(2,1,'hpo:uuid','"3244b563-c10c-4d5c-a415-7509958f3384"');
INSERT INTO "study_system_attributes" VALUES(3,1,'hpo:artifacts','"store"');
INSERT INTO "study_system_attributes" VALUES(4,1,'hpo:version','"0.1.0"');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,2.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,1,2,2.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,1,3,1.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,1,2.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,3,1,2.5,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,3,2,2.0,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'model.depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(2,1,'optimizer.learning_rate',3.1622776601683819965e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(3,2,'model.depth',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(4,2,'optimizer.learning_rate',7.49194159647547652802e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(5,3,'model.depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(6,3,'optimizer.learning_rate',1.36540223029890726673e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(7,4,'model.depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(8,4,'optimizer.learning_rate',2.61447616370094823579e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0001, "high": 0.1, "log": true}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"model.depth": 2, "optimizer.learning_rate": 0.003162277660168382}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(2,1,'worker','"here:1"');
INSERT INTO "trial_user_attributes" VALUES(3,1,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(4,1,'metrics','{"rmse": 1.5}');
INSERT INTO "trial_user_attributes" VALUES(5,2,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(6,2,'worker','"here:1"');
INSERT INTO "trial_user_attributes" VALUES(7,2,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(8,3,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(9,3,'worker','"here:1"');
INSERT INTO "trial_user_attributes" VALUES(10,3,'device','"cpu"');
INSERT INTO "trial_user_attributes" VALUES(11,4,'attempt','1');
INSERT INTO "trial_user_attributes" VALUES(12,4,'worker','"here:1"');
INSERT INTO "trial_user_attributes" VALUES(13,4,'device','"cpu"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,1.5,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,0,2.5,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-25 18:03:01.350801','2026-11-25 18:03:01.388647');
INSERT INTO "trials" VALUES(2,1,1,'PRUNED','2026-11-25 18:03:01.394599','2026-11-25 18:03:01.413872');
INSERT INTO "trials" VALUES(3,2,1,'RUNNING','2026-11-25 18:03:01.417977',NULL);
INSERT INTO "trials" VALUES(4,3,1,'WAITING',NULL,NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX ix_hpo_leases_study_id ON hpo_leases (study_id);
COMMIT;
